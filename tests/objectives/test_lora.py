"""Contract: low-rank changes learn, the model under them stays, in every layout and when killed."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.models import lora
from babeldraw.objectives.lora import NAME, LowRank
from babeldraw.parallel.execution import Execution
from babeldraw.parallel.mesh import make_mesh
from babeldraw.parallel.rules import placing, training_rules, unbox
from babeldraw.parallel.schedule import Pipeline
from babeldraw.training.keeping.checkpoints import load_constants, load_networks, load_params
from babeldraw.training.keeping.init_from import InitFrom
from babeldraw.training.keeping.placing import place_networks
from babeldraw.training.loop import train
from babeldraw.training.machine import Machine
from tests.models import tiny
from tests.objectives import tiny_runs

SIZES = {"codebook_size": 16, "decoder_layers": 4, "num_heads": 4, "head_dim": 4}


@functools.cache
def frozen():
    return tiny.random_params(whole().model, seed=4)


def whole(**settings):
    return tiny_runs.text_to_image(
        prompt_dropout_rate=0.2, token_noise_rate=0.1, **SIZES, **settings
    )


def low_rank(**settings):
    shared = whole()
    fields = {f.name: getattr(shared, f.name) for f in dataclasses.fields(shared)}
    return LowRank(**fields | {"base": frozen, "rank": 2} | settings)


def changed(objective, seed=0):
    """Changes with noise in the place of the zeros."""
    tree = unbox(objective.init(jax.random.key(seed)))[NAME]
    return jax.tree.map(
        lambda leaf: leaf + 0.1 * np.cos(np.arange(leaf.size)).reshape(leaf.shape), tree
    )


def batch(rows=8):
    model = whole().model
    return {"text_tokens": tiny.prompts(rows), "image_tokens": tiny.pictures_tokens(rows, model)}


def loss_and_gradient(objective, changes, constants, rows):
    def loss(changes, constants):
        return objective.changes_loss(changes, {}, constants, rows, jax.random.key(3), 0)[0]

    return jax.value_and_grad(loss)(changes, constants)


def test_the_loss_is_that_of_the_merged_model_and_its_gradient_goes_to_the_changes():
    objective, rows = low_rank(), batch()
    changes, constants = changed(objective), objective.constants()
    loss, gradient = jax.jit(functools.partial(loss_and_gradient, objective))(
        changes, constants, rows
    )
    merged = lora.merge(frozen(), changes)
    value, to_kernels = jax.jit(
        jax.value_and_grad(
            lambda p: whole().train_loss(p, {}, constants, rows, jax.random.key(3), 0)[0]
        )
    )(merged)
    assert float(loss) == pytest.approx(float(value), rel=1e-6)
    down, up = (
        changes["decoder"]["layers"]["mlp"]["wi"]["kernel"][half] for half in ("down", "up")
    )
    kernel = to_kernels["decoder"]["layers"]["mlp"]["wi"]["kernel"]
    own = gradient["decoder"]["layers"]["mlp"]["wi"]["kernel"]
    np.testing.assert_allclose(
        own["up"], np.einsum("ler,lem->lrm", down, kernel), rtol=1e-4, atol=1e-7
    )
    np.testing.assert_allclose(
        own["down"], np.einsum("lem,lrm->ler", kernel, up), rtol=1e-4, atol=1e-7
    )


def test_constants_are_the_base_and_lie_by_the_table():
    objective = low_rank()
    constants, abstract = objective.constants(), objective.abstract_constants()
    assert jax.tree.map(np.shape, constants) == jax.tree.map(lambda leaf: leaf.shape, abstract)
    mesh = make_mesh({"data": 2, "model": 4})
    where = objective.constant_shardings(constants, mesh, training_rules(fsdp=True))
    kernel = where["text_to_image"]["decoder"]["layers"]["mlp"]["wi"]["kernel"]
    assert tuple(kernel.spec) == (None, "data", "model")
    assert all(leaf.is_fully_replicated for leaf in jax.tree.leaves(where["tokenizer"]))


@pytest.mark.parametrize(
    "layout", ["pipeline", *(pytest.param(n, marks=pytest.mark.slow) for n in ("fsdp", "in-layer"))]
)
def test_every_layout_has_the_numbers_of_one_device(layout):
    axes, execution = {"data": 8}, Execution()
    if layout == "in-layer":
        axes = {"data": 2, "model": 4}
    if layout == "pipeline":
        axes, execution = {"data": 2, "stage": 2, "model": 2}, Execution(pipeline=Pipeline(2, 2))
    objective, rows = low_rank(), batch()
    constants = objective.constants()
    changes = changed(objective)
    value, gradient = jax.jit(functools.partial(loss_and_gradient, objective))(
        changes, constants, rows
    )
    mesh, rules = make_mesh(axes), training_rules(fsdp=layout == "fsdp")
    laid = objective.with_execution(execution)
    shapes = jax.tree.map(lambda leaf: leaf.shape, unbox(laid.abstract_params[NAME]))
    with placing(mesh, rules):
        held = laid.held(constants)
        held = jax.device_put(held, laid.constant_shardings(held, mesh, rules))
        ours = jax.tree.map(lambda leaf, shape: leaf.reshape(shape), changes, shapes)
        found, own = jax.jit(functools.partial(loss_and_gradient, laid))(ours, held, rows)
    assert float(found) == pytest.approx(float(value), rel=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(np.reshape(a, b.shape), b, rtol=1e-3, atol=1e-6),
        own,
        gradient,
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of four steps, and one that was started anew after two."""
    folder = tmp_path_factory.mktemp("lora")

    def go(name, steps):
        return train(
            low_rank(ema_decay=0.5),
            model_dir=str(folder / name),
            train_dataset=tiny_runs.Pictures(),
            train_steps=steps,
            machine=Machine(),
            log_every=100,
            devices=jax.devices()[:1],
        )

    go("whole", 4)
    go("stopped", 2)
    go("stopped", 4)
    return folder


def test_only_changes_are_trained_and_kept_and_the_base_stays_bit_for_bit(runs):
    kept = load_params(str(runs / "whole"))
    assert kept.keys() == {NAME, f"{NAME}_ema"}
    assert all(np.any(leaf) for leaf in jax.tree.leaves(kept[NAME]))  # the zeros have moved
    jax.tree.map(
        np.testing.assert_array_equal,
        load_constants(str(runs / "whole"))["text_to_image"],
        frozen(),
    )
    state = low_rank().abstract_params
    assert sum(leaf.size for leaf in jax.tree.leaves(unbox(state))) < 0.4 * sum(
        leaf.size for leaf in jax.tree.leaves(frozen())
    )


def test_a_run_that_was_stopped_ends_in_the_same_bits(runs):
    jax.tree.map(
        np.testing.assert_array_equal,
        load_params(str(runs / "whole")),
        load_params(str(runs / "stopped")),
    )


def test_it_draws_as_the_model_with_its_changes(runs):
    objective, directory = low_rank(ema_decay=0.5), str(runs / "whole")
    networks = load_networks(directory)
    placed = place_networks(directory, objective, make_mesh({"data": 1}, jax.devices()[:1]))
    prompts = np.asarray(tiny.prompts(2))
    drawn = objective.sampler(placed, batch_size=2)(prompts, seed=1)
    merged = lora.merge(frozen(), networks[f"{NAME}_ema"])
    expected = whole().sampler(
        {"text_to_image": merged, "tokenizer": networks["tokenizer"]}, batch_size=2
    )
    np.testing.assert_array_equal(drawn, expected(prompts, seed=1))
    base = whole().sampler(
        {"text_to_image": frozen(), "tokenizer": networks["tokenizer"]}, batch_size=2
    )
    assert np.any(drawn != base(prompts, seed=1))


def test_a_run_that_is_trained_whole_does_not_start_from_changes(runs, tmp_path):
    with pytest.raises(
        UserError, match=r"trains low-rank changes .* a TextToImage run does not take"
    ):
        train(
            whole(),
            model_dir=str(tmp_path / "run"),
            train_dataset=tiny_runs.Pictures(),
            train_steps=1,
            machine=Machine(),
            devices=jax.devices()[:1],
            init_from=InitFrom(model_dir=str(runs / "whole")),
        )
    assert not (tmp_path / "run").exists()
