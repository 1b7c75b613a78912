"""Contract: the real objectives compute the same on every mesh, stopped or not."""

import jax
import numpy as np
import pytest
from PIL import Image

from babeldraw.parallel.mesh import make_mesh
from babeldraw.parallel.rules import in_sequence, placing, replicated
from babeldraw.training.batches import batch_layout
from babeldraw.training.keeping.checkpoints import load_params
from babeldraw.training.loop import train
from babeldraw.training.machine import Machine
from babeldraw.training.state import abstract_state, describe_state, init_state
from tests.objectives import tiny_runs

pytestmark = pytest.mark.slow  # compiling; tests/training has the same of small objectives


def run(objective, model_dir, train_steps, *, devices=1, pictures_every=0, **machine):
    losses = {}

    def record(step, split, values):
        losses[step] = values["loss"]

    state = train(
        objective,
        model_dir=str(model_dir),
        train_dataset=tiny_runs.Pictures(),
        train_steps=train_steps,
        machine=Machine(**({"checkpoint_every": 0} | machine)),
        log_every=1,
        pictures_every=pictures_every,
        on_metrics=record,
        devices=jax.devices()[:devices],
    )
    return state, losses


@pytest.mark.parametrize("make", [tiny_runs.text_to_image, tiny_runs.tokenizer])
def test_one_and_eight_devices_give_the_same_losses(make, tmp_path):
    _, one = run(make(), tmp_path / "one", 4)
    state, eight = run(make(), tmp_path / "eight", 4, devices=8)
    leaf = jax.tree.leaves(state.params)[0]
    assert len(leaf.sharding.device_set) == 8
    assert one.keys() == eight.keys() == {1, 2, 3, 4}
    for step, loss in one.items():
        assert eight[step] == pytest.approx(loss, rel=1e-6)
    assert len(set(one.values())) == 4


# 16 codes, of which the tokenizer gives 13: a softmax that divides over devices.
DEEP = {
    "encoder_layers": 4,
    "decoder_layers": 8,
    "codebook_size": 16,
    "optimizer": tiny_runs.ADAFACTOR,
}
LAYOUTS = {
    "in_layer": {"mesh": {"data": 4, "model": 2}},
    "fsdp": {"mesh": {"data": 8}, "fsdp": True},
    "hybrid": {"mesh": {"data": 2, "model": 4}, "fsdp": "hybrid"},
    "gpipe": {"mesh": {"data": 2, "stage": 4}, "num_microbatches": 4, "circular_repeats": 1},
    "circular": {"mesh": {"stage": 2, "data": 2, "model": 2}, "num_microbatches": 4},
}


@pytest.fixture(scope="module")
def sequential(tmp_path_factory):
    """Four steps on one device, with int8 Adafactor: (state, losses)."""
    return run(tiny_runs.text_to_image(**DEEP), tmp_path_factory.mktemp("sequential") / "run", 4)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_trains_alike_and_goes_on_from_every_other(layout, sequential, tmp_path):
    """Two steps in the layout, then two on one device from its checkpoint, and the other way."""
    _, expected = sequential
    there, back = LAYOUTS[layout], {}
    for name, (first, second) in {"out": (there, back), "in": (back, there)}.items():
        losses = {}
        for steps, machine in ((2, first), (4, second)):
            devices = 8 if machine else 1
            objective = tiny_runs.text_to_image(**DEEP)
            _, found = run(objective, tmp_path / name, steps, devices=devices, **machine)
            losses |= found
        assert losses.keys() == expected.keys()
        # int8: a moment that falls on the other side of a step of its scale moves on from there.
        for step, loss in expected.items():
            assert losses[step] == pytest.approx(loss, rel=1e-6 if step < 3 else 1e-5)


def samples(model_dir, step):
    return np.asarray(Image.open(model_dir / "pictures" / f"samples-{step:06d}.png"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_draws_the_same_samples(layout):
    """With fresh parameters, where they lie in training."""
    machine = Machine(**LAYOUTS[layout])
    plain = tiny_runs.text_to_image(**DEEP)
    there, mesh = plain.with_execution(machine.execution), make_mesh(machine.mesh)
    batch, key = next(tiny_runs.Pictures().batches()), jax.random.key(3)
    with placing(mesh, machine.rules):
        variables = describe_state(there, mesh, machine.rules)
        target = abstract_state(there, variables).params
        shardings = jax.tree.map(lambda leaf: leaf.sharding, target)
        init = jax.jit(lambda: init_state(there, 0).params, out_shardings=shardings)
        params, constants = init(), jax.device_put(there.constants(), replicated(mesh))
        draw = jax.jit(lambda *inputs: there.pictures(*inputs), out_shardings=replicated(mesh))
        placed = batch_layout(there, 8, mesh).to_global(batch)
        found = np.asarray(draw(params, constants, placed, key)["samples"])
        boxes = there.abstract_params["text_to_image"]
        whole = jax.device_get(jax.jit(lambda x: in_sequence(x, boxes))(params["text_to_image"]))
    expected = jax.jit(lambda *inputs: plain.pictures(*inputs))(
        {"text_to_image": whole}, plain.constants(), batch, key
    )["samples"]
    assert found.std() > 20
    # A draw that was as good as another may fall otherwise.
    assert (found == expected).mean() > 0.98


def test_parameters_are_read_as_stacks_of_layers_whatever_layout_wrote_them(sequential, tmp_path):
    state, _ = sequential
    objective = tiny_runs.text_to_image(**DEEP)
    run(objective, tmp_path / "run", 4, devices=8, **LAYOUTS["circular"])
    written = load_params(str(tmp_path / "run"))
    assert jax.tree.map(np.shape, written) == jax.tree.map(np.shape, dict(state.params))
    jax.tree.map(
        lambda found, want: np.testing.assert_allclose(found, want, atol=1e-4),
        written,
        jax.device_get(dict(state.params)),
    )


def test_resumed_run_is_bitwise_the_unbroken_one(tmp_path):
    whole, expected = run(tiny_runs.text_to_image(), tmp_path / "whole", 4)
    _, first = run(tiny_runs.text_to_image(), tmp_path / "broken", 2)
    resumed, second = run(tiny_runs.text_to_image(), tmp_path / "broken", 4)
    assert first | second == expected
    assert second.keys() == {3, 4}
    left, right = jax.device_get((whole, resumed))
    jax.tree.map(np.testing.assert_array_equal, left, right)
