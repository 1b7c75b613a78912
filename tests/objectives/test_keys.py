"""Contract: no two draws of a run's steps, whatever they are for, come from one key."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.models.encoder_decoder import example_keys
from babeldraw.objectives.coca import ContrastiveCaptioner
from babeldraw.training.state import init_state
from babeldraw.training.step import make_train_step
from tests.models import tiny, tiny_coca
from tests.objectives import tiny_runs

DRAWS = ("bits", "bernoulli", "randint", "choice", "split")


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

    for name in DRAWS:
        monkeypatch.setattr(jax.random, name, recorded(getattr(jax.random, name), drawn))
    monkeypatch.setattr(jax.random, "fold_in", recorded(jax.random.fold_in, parents))
    return drawn, parents


def assert_apart(drawn, parents):
    assert len(set(drawn)) == len(drawn)
    assert not set(drawn) & set(parents), "what is drawn from a key and what is derived overlap"


def text_to_image():
    """Dropout, prompt dropout and token noise; two layers a stack."""
    objective = tiny_runs.text_to_image(prompt_dropout_rate=0.5, token_noise_rate=0.5)
    sites = 2 * 3 + 2 * 4  # of encoder and decoder
    noise = 3  # a key is split into one for where, and one for what
    return objective, sites + 1 + noise


def captioner():
    """One layer in each of two plain stacks, and one with cross-attention."""
    model = tiny_coca.coca(dropout_rate=0.1)
    return ContrastiveCaptioner(model=model, optimizer=tiny_runs.ADAM), 3 + 3 + 4


@pytest.mark.parametrize("make", [text_to_image, captioner])
def test_every_draw_of_a_step_has_its_own_key(make, used):
    objective, draws_an_example = make()
    size = objective.batch_shapes(1)["image"].shape[1]
    batch = {"text_tokens": tiny.prompts(3), "image": jnp.asarray(tiny.images(3, size))}
    state, constants = tiny.jit(lambda: init_state(objective, 0))(), objective.constants()
    jax.effects_barrier()
    for uses in used:
        uses.clear()  # of the initialisation
    step = tiny.jit(make_train_step(objective))
    for _ in range(2):
        state, _ = step(state, constants, batch)
    jax.effects_barrier()
    assert len(used[0]) == 2 * 3 * draws_an_example
    assert_apart(*used)


def test_revival_draws_from_no_key_of_the_tokenizers_loss(used):
    objective = tiny_runs.tokenizer(revive_every=1)
    state = tiny.jit(lambda: init_state(objective, 0))()
    jax.effects_barrier()
    for uses in used:
        uses.clear()
    step = tiny.jit(make_train_step(objective))
    for _ in range(2):
        state, _ = step(state, {}, {"image": jnp.asarray(tiny.images(2))})
    jax.effects_barrier()
    assert len(used[0]) == 2
    assert_apart(*used)


def test_a_key_for_two_purposes_is_found(used):
    """As example 1's noise and its dropout once had."""
    key = jax.random.key(0)

    @tiny.jit
    def draw():
        noise = example_keys(jax.random.fold_in(key, 1), 2)
        jax.vmap(jax.random.split)(noise)
        dropout = example_keys(key, 2)
        jax.vmap(lambda key: jax.random.bits(jax.random.fold_in(key, 1)))(dropout)

    draw()
    jax.effects_barrier()
    with pytest.raises(AssertionError):
        assert_apart(*used)
