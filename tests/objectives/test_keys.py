"""Contract: no two draws of a run's steps, whatever they are for, come from one key."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from babeldraw.models.encoder_decoder import example_keys
from babeldraw.objectives.base import Objective, Player
from babeldraw.objectives.coca import ContrastiveCaptioner
from babeldraw.training.state import init_state
from babeldraw.training.step import make_train_step
from tests.models import tiny, tiny_coca
from tests.objectives import tiny_runs

EXAMPLES = 3


@pytest.fixture
def used(monkeypatch):
    """`(drawn from, derived from)`: the words of each key that a compiled program uses so."""
    drawn, parents = [], []

    def recorded(function, into):
        def call(key, *args, **kwargs):
            words = jax.random.key_data(key)
            jax.debug.callback(lambda words: into.append(tuple(np.asarray(words))), words)
            return function(key, *args, **kwargs)

        return call

    for name in ("bits", "bernoulli", "randint", "split"):
        monkeypatch.setattr(jax.random, name, recorded(getattr(jax.random, name), drawn))
    monkeypatch.setattr(jax.random, "fold_in", recorded(jax.random.fold_in, parents))
    return drawn, parents


def assert_apart(drawn, parents):
    assert len(set(drawn)) == len(drawn)
    assert not set(drawn) & set(parents), "a key is drawn from and derived from"


def text_to_image():
    """Dropout in three places of 2 encoder layers and four of 2 decoder layers.

    Beside it prompt dropout, and token noise, which splits its key and draws from both halves.
    """
    objective = tiny_runs.text_to_image(prompt_dropout_rate=0.5, token_noise_rate=0.5)
    return objective, tiny.random_params(objective.model), 2 * 3 + 2 * 4 + 1 + 3


def captioner():
    """A layer for pictures, one for texts, and one with cross-attention."""
    model = tiny_coca.coca(dropout_rate=0.1)
    objective = ContrastiveCaptioner(model=model, optimizer=tiny_runs.ADAM)
    return objective, tiny_coca.random_params(model), 3 + 3 + 4


@pytest.mark.parametrize("make", [text_to_image, captioner])
def test_every_draw_of_a_loss_has_its_own_key(make, used):
    objective, params, draws_an_example = make()
    size = objective.batch_shapes(1)["image"].shape[1:3]
    batch = {"text_tokens": tiny.prompts(EXAMPLES), "image": jnp.asarray(tiny.images(3, size))}

    @tiny.jit
    def loss(key):
        return objective.train_loss(params, {}, objective.constants(), batch, key, 0)[0]

    loss(jax.random.key(0))
    jax.effects_barrier()
    assert len(used[0]) == EXAMPLES * draws_an_example
    assert_apart(*used)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Noisy(Objective):
    """Two players and what comes after them, each of which draws once a step."""

    def batch_shapes(self, batch_size):
        return {}

    def init(self, key):
        return {"first": jnp.zeros(()), "second": jnp.zeros(())}

    def players(self):
        def loss(own, all_params, constants, batch, key, step):
            return own * jax.random.bits(key).astype(jnp.float32), {}

        return tuple(Player(name, loss, optax.sgd(0.1), 0.1) for name in ("first", "second"))

    def after_step(self, params, constants, batch, key, step):
        return dict(params, first=params["first"] + jax.random.bits(key))

    def evaluate(self, params, constants, batch, key):
        return {}


def test_players_and_what_comes_after_them_have_keys_of_their_own(used):
    state = init_state(Noisy(), 0)
    step = tiny.jit(make_train_step(Noisy()))
    for _ in range(2):
        state, _ = step(state, {}, {})
    jax.effects_barrier()
    assert len(used[0]) == 2 * 3
    assert_apart(*used)


def test_a_key_for_two_purposes_is_found(used):
    """An example's noise has the key from which another's dropout is derived."""
    key = jax.random.key(0)

    @tiny.jit
    def draw():
        noise = example_keys(jax.random.fold_in(key, 1), 2)
        dropout = example_keys(key, 2)
        jax.vmap(lambda key: jax.random.bits(jax.random.fold_in(key, 1)))(dropout)
        return jax.vmap(jax.random.bits)(noise)

    draw()
    jax.effects_barrier()
    with pytest.raises(AssertionError):
        assert_apart(*used)
