"""Contract: loss and gradients of stage 2, dropout on, are those of one device with layers in
order, under every mesh, sharding of the weights, and pipeline: from texts, and from classes."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.models.transformer import Stack
from babeldraw.parallel import pipeline as pipeline_module
from babeldraw.parallel.execution import Execution
from babeldraw.parallel.mesh import make_mesh
from babeldraw.parallel.rules import placing, training_rules, unbox
from babeldraw.parallel.schedule import Pipeline
from tests.models import tiny
from tests.parallel import equality

# (mesh, pipeline, FSDP), on 8 devices. The first has everything at once.
EVERYTHING = ({"data": 2, "stage": 2, "model": 2}, Pipeline(2, 4), True)  # 2 and 4 rounds

SLOW = {
    "data 8": ({"data": 8}, None, False),
    "model 4": ({"model": 4}, None, False),
    "FSDP, data 8": ({"data": 8}, None, True),
    "2 data x 4 model": ({"data": 2, "model": 4}, None, False),
    "4 data x 2 model": ({"data": 4, "model": 2}, None, False),
    "FSDP, 2 data x 4 model": ({"data": 2, "model": 4}, None, True),
    "hybrid FSDP, 4 copies of 2": ({"data": 4, "model": 2}, None, "hybrid"),
    "pipeline on one device": ({"data": 1}, Pipeline(4, 8), False),
    "GPipe, 4 stages x 2 data": ({"data": 2, "stage": 4}, Pipeline(4, 8, 1), False),
    "GPipe, 2 stages x 4 model": ({"stage": 2, "model": 4}, Pipeline(2, 4, 1), False),
    "circular, 1 and 2 rounds, M = S": ({"data": 2, "stage": 4}, Pipeline(4, 4), False),
    "circular, 2 rounds for both": ({"data": 4, "stage": 2}, Pipeline(2, 4, 2), False),
    "circular, 2 and 4 rounds, 2 stages x 2 data x 2 model": (
        {"data": 2, "stage": 2, "model": 2},
        Pipeline(2, 4),
        False,
    ),
}


# What remains of them where there is one stack, a part of everything each.
OF_CLASSES = [
    "data 8", "FSDP, data 8", "2 data x 4 model", "hybrid FSDP, 4 copies of 2",
    "GPipe, 4 stages x 2 data", "circular, 2 rounds for both",
]  # fmt: skip


def check(execution, mesh, fsdp, kind="text"):
    found = equality.loss_and_gradients(execution, mesh, fsdp, kind)
    loss_error, gradient_error = equality.errors(*found, equality.single_device(kind))
    assert loss_error < 1e-6
    assert gradient_error < 1e-5


@pytest.mark.parametrize("kind", equality.KINDS)
def test_equal_to_one_device(kind):
    mesh, pipeline, fsdp = EVERYTHING
    check(Execution(pipeline=pipeline), mesh, fsdp, kind)


@pytest.mark.parametrize(
    ("execution", "mesh", "fsdp", "kind"),
    [
        (Execution(accumulate=4), None, False, "text"),
        (Execution(accumulate=2), {"data": 8}, True, "text"),
        (Execution(accumulate=2), {"data": 2, "model": 4}, "hybrid", "text"),
        (Execution(accumulate=2), {"data": 8}, False, "class"),
        (Execution(accumulate=2, pipeline=Pipeline(2, 4)), {"data": 2, "stage": 2}, False, "class"),
    ],
    ids=["one device", "FSDP", "hybrid FSDP", "classes", "pipeline"],
)
def test_parts_one_after_another_equal_to_the_whole_batch(execution, mesh, fsdp, kind):
    check(execution, mesh, fsdp, kind)


@pytest.mark.slow
@pytest.mark.parametrize("case", OF_CLASSES)
def test_of_classes_equal_to_one_device_under_every_kind_of_layout(case):
    mesh, pipeline, fsdp = SLOW[case]
    check(Execution(pipeline=pipeline), mesh, fsdp, "class")


@pytest.mark.slow
@pytest.mark.parametrize("case", SLOW)
def test_equal_to_one_device_under_every_layout(case):
    mesh, pipeline, fsdp = SLOW[case]
    check(Execution(pipeline=pipeline), mesh, fsdp)


@pytest.mark.slow
@pytest.mark.parametrize("remat", ["full", "attention", "dots"])
@pytest.mark.parametrize("pipeline", [Pipeline(4, 4), Pipeline(4, 8, 1)])
def test_rematerialised(remat, pipeline):
    check(Execution(remat=remat, pipeline=pipeline), {"data": 2, "stage": 4}, False)


@pytest.mark.slow
def test_on_sixteen_devices():
    environment = os.environ | {
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=16",
        "JAX_PLATFORMS": "cpu",
    }
    output = subprocess.run(
        [sys.executable, "-m", "tests.parallel.equality"],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    rows = [line.split(";") for line in output.splitlines()]
    assert [name for name, *_ in rows] == list(equality.SIXTEEN)
    for name, loss_error, gradient_error in rows:
        assert float(loss_error) < 1e-6, name
        assert float(gradient_error) < 1e-5, name


def test_forward_is_bitwise_that_of_layers_in_order():
    """On four stages, against one device that runs the same microbatches."""
    pipeline = Pipeline(4, 4)
    execution = Execution(pipeline=pipeline)
    text, image = equality.batch().values()
    keys = tiny.keys(equality.BATCH)

    def forward(execution):
        network = equality.objective(execution).network
        return tiny.jit(lambda weights, *batch: network.apply({"params": weights}, *batch))

    with placing(make_mesh({"stage": 4}, jax.devices()[:4]), training_rules()):
        logits = forward(execution)(equality.params(execution), text, image, keys)
    in_order = forward(Execution())
    for m in range(pipeline.num_microbatches):
        mine = slice(m, None, pipeline.num_microbatches)
        expected = in_order(equality.params(), text[mine], image[mine], keys[mine])
        np.testing.assert_array_equal(logits[mine], expected)


@pytest.mark.slow
def test_nan_in_bubbles_changes_neither_loss_nor_gradients(monkeypatch):
    execution = Execution(remat="full", pipeline=Pipeline(4, 4))
    mesh = {"data": 2, "stage": 4}
    clean = equality.loss_and_gradients(execution, mesh)
    monkeypatch.setattr(pipeline_module, "_BUBBLE_FILL", np.nan)
    filled = equality.loss_and_gradients(execution, mesh)
    # Two programs, whose sums XLA may order otherwise; what reads a bubble would be NaN.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5, 1e-7), filled, clean)


@pytest.mark.slow
def test_bfloat16_with_rematerialisation():
    """As far from float32 as layers in order are: rounding differs with how XLA fuses, and these
    weights, far larger than trained ones, magnify it (to 14% of a layer norm's gradient)."""
    settings = {"dtype": jnp.bfloat16}
    _, rounding = equality.errors(*equality.loss_and_gradients(**settings))
    execution = Execution(remat="full", pipeline=Pipeline(4, 4))
    found = equality.loss_and_gradients(execution, {"data": 2, "stage": 4}, **settings)
    loss_error, gradient_error = equality.errors(*found)
    assert loss_error < 2e-3
    assert gradient_error < 1.5 * rounding < 0.3
    assert {leaf.dtype for leaf in jax.tree.leaves(found[1])} == {np.dtype("float32")}


def test_initial_numbers_do_not_depend_on_the_pipeline():
    layer = tiny.transformer().decoder_layer().clone(with_cross_attention=False)
    pipelines = [None, Pipeline(2, 2), Pipeline(2, 2, 1), Pipeline(4, 4)]
    x = jnp.zeros((1, 3, layer.d_model))

    def init(key):
        stacks = [Stack(layer, 4, Execution(pipeline=pipeline)) for pipeline in pipelines]
        return [stack.init(key, x, {})["params"]["layers"] for stack in stacks]

    in_order, *pipelined = tiny.jit(init)(jax.random.key(0))
    kernel = in_order["mlp"]["wi"]["kernel"]
    assert kernel.names == ("layers", "embed", "mlp")
    assert np.unique(kernel.value[:, 0, 0]).size == 4
    for boxes, rounds in zip(pipelined, (2, 1, 1), strict=True):
        assert boxes["mlp"]["wi"]["kernel"].names == ("rounds", "stages", "embed", "mlp")
        jax.tree.map(
            lambda leaf, other, rounds=rounds: np.testing.assert_array_equal(
                leaf, other.reshape(rounds, 4 // rounds, *other.shape[1:])
            ),
            unbox(boxes),
            unbox(in_order),
        )


def test_too_few_layers_for_the_rounds():
    execution = Execution(pipeline=Pipeline(4, 4, 2))
    network = equality.objective(execution).network  # 4 encoder layers: one round of 4 stages
    with pytest.raises(UserError, match=r"4 layers .* 4 stages x 2 rounds: .* one of 1, or leave"):
        jax.eval_shape(network.init, jax.random.key(0), *tiny.inputs(network))
