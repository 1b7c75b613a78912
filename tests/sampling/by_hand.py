"""What sampling must draw, from the plain forward pass over whole pictures without any cache."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from babeldraw.sampling.generate import generate_tokens
from tests.models import tiny


@functools.cache
def sampler(model, **settings):
    """`draw(params, text, keys, prefix=None) -> tokens`, compiled."""
    draw = scored_sampler(model, **settings)
    return lambda *arguments: draw(*arguments)[0]


@functools.cache
def scored_sampler(model, **settings):
    """`draw(params, text, keys, prefix=None) -> (tokens, scores)`, compiled."""
    return tiny.jit(
        lambda params, text, keys, prefix=None: generate_tokens(
            model, params, text, keys, prefix=prefix, **settings
        )
    )


@functools.cache
def full(model):
    return tiny.jit(lambda params, text, tokens: model.apply({"params": params}, text, tokens))


def guided(conditional, unconditional, weight):
    return unconditional + weight * (conditional - unconditional)


def redrawn(keys, logits):
    """The token that each position's key draws from `logits [pictures, n, codebook]`."""

    def draw(key, logits):
        position_keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(len(logits)))
        return jax.vmap(jax.random.categorical)(position_keys, logits)

    return np.asarray(jax.vmap(draw)(keys, jnp.asarray(logits)))
