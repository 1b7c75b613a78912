"""Contract: frozen networks are constants. No step differentiates them, no optimizer has state for
them, and what a step does not read is not held for it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.models.super_resolution import SuperResolver
from babeldraw.objectives.decoder_finetune import DecoderFinetune
from babeldraw.objectives.perceptual import Perceptual
from babeldraw.objectives.super_resolution import SuperResolution
from babeldraw.training.state import init_state
from babeldraw.training.step import make_train_step
from tests.models import tiny
from tests.objectives import tiny_runs


def scaled(params, images):
    """A frozen network of one weight."""
    return (images * params["weight"],)


PERCEPTUAL = Perceptual(network=scaled, params=lambda: {"weight": np.float32(2)})
OBJECTIVES = {
    "text_to_image": tiny_runs.text_to_image(),
    "tokenizer": tiny_runs.tokenizer(perceptual=PERCEPTUAL),
    "decoder_finetune": DecoderFinetune(
        model=tiny_runs.TOKENIZER,
        optimizer=tiny_runs.ADAM,
        source=tiny_runs.frozen_tokenizer,
        perceptual=PERCEPTUAL,
    ),
    "super_resolution": SuperResolution(
        model=SuperResolver(factor=2, channels=4, num_blocks=1, dtype=jnp.float32),
        tokenizer=tiny_runs.TOKENIZER,
        tokenizer_params=tiny_runs.frozen_tokenizer,
        optimizer=tiny_runs.ADAM,
        perceptual=PERCEPTUAL,
    ),
}


BEFOREHAND = dataclasses.replace(OBJECTIVES["text_to_image"], tokens_beforehand=True)


@jax.custom_jvp
def guard(x):
    """`x`; whoever differentiates it is told."""
    return x


@guard.defjvp
def _tell(primals, tangents):
    raise AssertionError("a frozen network is differentiated")


def guarded(player):
    """With constants that may not be differentiated inside of its loss."""

    def loss(own, all_params, constants, *rest):
        return player.loss(own, all_params, jax.tree.map(guard, constants), *rest)

    return dataclasses.replace(player, loss=loss)


def names(tree):
    return {jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_step_neither_differentiates_nor_keeps_what_is_frozen(name, monkeypatch):
    objective = OBJECTIVES[name]
    players = tuple(map(guarded, objective.players()))
    monkeypatch.setattr(type(objective), "players", lambda self: players)
    constants, batch = objective.abstract_constants(), objective.batch_shapes(2)
    state = jax.eval_shape(lambda: init_state(objective, 0))
    moved, _ = jax.eval_shape(make_train_step(objective), state, constants, batch)
    assert names(moved) == names(state)
    frozen = names(constants)
    assert frozen and not frozen & names(state.params)
    assert set(state.params) == set(state.optimizer_state) == {player.name for player in players}


@pytest.mark.parametrize(
    "objective", [*OBJECTIVES.values(), BEFOREHAND], ids=[*OBJECTIVES, "beforehand"]
)
def test_a_step_reads_all_that_is_held_for_it(objective):
    held = objective.held(objective.abstract_constants())
    state = jax.eval_shape(lambda: init_state(objective, 0))
    step = jax.make_jaxpr(make_train_step(objective))
    program = step(state, held, objective.batch_shapes(2)).jaxpr
    first = len(jax.tree.leaves(state))
    arguments = program.invars[first : first + len(jax.tree.leaves(held))]
    read = {id(variable) for equation in program.eqns for variable in equation.invars}
    assert all(id(variable) in read for variable in arguments)


def test_what_a_text_to_image_run_holds_of_its_tokenizer():
    constants = OBJECTIVES["text_to_image"].abstract_constants()
    held = OBJECTIVES["text_to_image"].held(constants)
    assert set(constants["tokenizer"]) - set(held["tokenizer"]) == {"decoder"}
    assert BEFOREHAND.held(constants) == {}


def test_the_guard_sees_a_gradient_even_of_whole_numbers():
    """Tokens are whole numbers: no gradient that gets there would be other than 0."""
    objective = OBJECTIVES["text_to_image"]
    (player,) = map(guarded, objective.players())
    params = tiny.random_params(objective.model)

    def loss(constants, batch):
        return player.loss(params, {}, constants, batch, jax.random.key(0), 0)[0]

    with pytest.raises(AssertionError, match="a frozen network is differentiated"):
        jax.eval_shape(jax.grad(loss), objective.abstract_constants(), objective.batch_shapes(2))
