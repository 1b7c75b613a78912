"""Contract: what one player makes and others look at is made once a step, and no number changes."""

import collections
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from babeldraw.objectives.tokenizer import Tokenizer
from babeldraw.training.state import init_state
from babeldraw.training.step import make_train_step
from tests.models import tiny
from tests.objectives.test_tokenizer import all_terms


@dataclasses.dataclass(frozen=True, kw_only=True)
class EachForItself(Tokenizer):
    """Every player makes the pictures that it looks at."""

    def players(self):
        return tuple(dataclasses.replace(player, forward=None) for player in super().players())


def each_for_itself(objective):
    fields = dataclasses.fields(objective)
    return EachForItself(**{field.name: getattr(objective, field.name) for field in fields})


def operations(jaxpr):
    """How often each primitive stands in a program."""
    counts = collections.Counter(equation.primitive.name for equation in jaxpr.eqns)
    for equation in jaxpr.eqns:
        for inner in jaxprs_in_params(equation.params):
            counts += operations(inner)
    return counts


def step_operations(objective):
    state = jax.eval_shape(lambda: init_state(objective, 0))
    program = jax.make_jaxpr(make_train_step(objective))
    return operations(program(state, objective.constants(), objective.batch_shapes(4)).jaxpr)


def test_a_step_against_a_discriminator_runs_the_tokenizer_once():
    objective = dataclasses.replace(all_terms(), revive_every=0)
    alone = step_operations(dataclasses.replace(objective, adversary=None))
    once, twice = step_operations(objective), step_operations(each_for_itself(objective))
    # Encoder and decoder are a scan each, and so are their backward passes.
    assert [count["scan"] for count in (alone, once, twice)] == [4, 4, 6]
    assert [count["argmin"] for count in (alone, once, twice)] == [1, 1, 2]
    # Those of the discriminator, in its own loss and as the tokenizer's opponent; and a forward
    # pass of the tokenizer.
    assert [count["dot_general"] for count in (alone, once, twice)] == [70, 92, 116]


@pytest.mark.slow
def test_no_number_changes():
    objective = all_terms()
    state = tiny.jit(lambda: init_state(objective, 0))()
    batch = {"image": jnp.asarray(tiny.images(4))}
    results = [
        tiny.jit(make_train_step(each))(state, each.constants(), batch)
        for each in (objective, each_for_itself(objective))
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), *results)
