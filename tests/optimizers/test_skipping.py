"""Contract: a spike changes nothing, and what is measured by the median is what was taken."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from babeldraw.errors import UserError
from babeldraw.optimizers.config import Adafactor, Adam
from babeldraw.optimizers.skipping import update_or_skip

pytestmark = pytest.mark.optimised  # bits of programs with and without a watch for spikes

FACTOR, WINDOW = 3.0, 4
PARAMS = {"kernel": jnp.linspace(-1.0, 1.0, 8).reshape(2, 4), "bias": jnp.full((4,), 0.5)}
CONFIGS = {"adam": Adam, "adafactor": Adafactor}


def optimizer(name, **settings):
    return CONFIGS[name](learning_rate=optax.constant_schedule(0.1), **settings).make()


def gradient(size):
    """Of norm `size`."""
    ones = jax.tree.map(jnp.ones_like, PARAMS)
    return jax.tree.map(lambda leaf: leaf * size / optax.tree.norm(ones), ones)


def moved(rule, steps):
    """After a step for each (loss, norm): the parameters, and the states on the way."""
    step = jax.jit(lambda size, loss, state, params: _step(rule, size, loss, state, params))
    params, states = PARAMS, [rule.init(PARAMS)]
    for loss, size in steps:
        params, state = step(size, loss, states[-1], params)
        states.append(state)
    return params, states


def _step(rule, size, loss, state, params):
    updates, state = update_or_skip(rule, gradient(size), state, params, loss)
    return optax.apply_updates(params, updates), state


def taken_of(steps):
    """Which of the steps are taken, by the rule written out."""
    losses, norms, taken = [], [], []
    for loss, norm in steps:
        fits = np.isfinite(loss) and np.isfinite(norm)
        for value, past in ((loss, losses), (norm, norms)):
            median = np.median(past[-WINDOW:]) if len(past) >= WINDOW else 0
            fits = fits and not (median > 0 and value > FACTOR * median)
        if fits:
            losses.append(loss)
            norms.append(norm)
        taken.append(bool(fits))
    return taken


STEPS = [
    *((9.0, 1.0), (0.5, 1.0), (40.0, 1.0)),  # nothing is a spike before there are four
    *((1.0, 1.0), (31.0, 1.0)),  # the median is 5, of 9, 0.5, 40 and 1
    *((1.0, 1.0), (1.0, 1.0), (3.5, 1.0), (1.0, 1.0)),
    *((3.5, 1.0), (2.5, 3.5), (2.5, 2.5)),  # of the loss, of the gradient, neither
    *((np.nan, 1.0), (1.0, np.inf), (1.0, 1.0), (1.0, 1.0), (1.0, 1.0), (9.0, 9.0), (1.0, 1.0)),
]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_spike_is_as_if_the_step_had_not_been(name):
    rule = optimizer(name, spike_factor=FACTOR, spike_window=WINDOW)
    params, states = moved(rule, STEPS)
    taken = taken_of(STEPS)
    assert [int(b.taken - a.taken) for a, b in itertools.pairwise(states)] == taken
    finite = [bool(np.isfinite(step).all()) for step in STEPS]
    assert int(states[-1].skipped) == sum(finite) - sum(taken) >= 4
    plain = optimizer(name)
    kept = [step for step, fits in zip(STEPS, taken, strict=True) if fits]
    expected, alone = moved(plain, kept)
    jax.tree.map(np.testing.assert_array_equal, params, expected)
    inner = states[-1].inner
    if name == "adafactor":  # which counts what it was kept from
        assert int(inner.skipped) == len(STEPS) - len(kept)
        inner = inner._replace(skipped=alone[-1].skipped)
    jax.tree.map(np.testing.assert_array_equal, inner, alone[-1])
    every, _ = moved(plain, [step for step, fits in zip(STEPS, finite, strict=True) if fits])
    assert any(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a != b).any()), params, every)))


def test_a_loss_below_zero_is_judged_by_its_gradient():
    rule = optimizer("adam", spike_factor=FACTOR, spike_window=2)
    _, states = moved(rule, [(-1.0, 1.0), (-1.0, 1.0), (5.0, 1.0), (-1.0, 4.0), (-1.0, 2.0)])
    assert [int(state.skipped) for state in states] == [0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize("name", CONFIGS)
def test_without_a_factor_nothing_is_kept_for_it(name):
    alone, watched = optimizer(name), optimizer(name, spike_factor=4.0)
    state = alone.init(PARAMS)
    assert jax.tree.structure(watched.init(PARAMS).inner) == jax.tree.structure(state)
    assert not hasattr(state, "losses")


@pytest.mark.parametrize("name", CONFIGS)
def test_a_factor_that_skips_every_other_step_is_refused(name):
    with pytest.raises(UserError, match=r"SPIKE_FACTOR is 1.0, which .* set it above 1"):
        optimizer(name, spike_factor=1.0)
