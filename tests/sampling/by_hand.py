"""What sampling must draw, from the plain forward pass over whole pictures without any cache."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from babeldraw.sampling.generate import generate_tokens
from tests.models import tiny


@functools.cache
def sampler(model, **settings):
    """`draw(params, prompts, keys, prefix=None) -> tokens`, compiled."""
    draw = scored_sampler(model, **settings)
    return lambda *arguments: draw(*arguments)[0]


@functools.cache
def scored_sampler(model, **settings):
    """`draw(params, prompts, keys, prefix=None) -> (tokens, scores)`, compiled."""
    return tiny.jit(
        lambda params, prompts, keys, prefix=None: generate_tokens(
            model, params, prompts, keys, prefix=prefix, **settings
        )
    )


@functools.cache
def full(model):
    """`logits(params, prompts, tokens)` of texts, of classes, or of no classes, compiled."""

    def run(params, prompts, tokens):
        inputs = (tokens, prompts if model.num_classes else None)
        return model.apply(
            {"params": params}, *((prompts, tokens) if model.condition_shape else inputs)
        )

    return tiny.jit(run)


def nothing(model, prompts):
    """What stands for no prompt, as many times."""
    return jnp.full_like(prompts, model.no_condition)


def guided(conditional, unconditional, weight):
    return unconditional + weight * (conditional - unconditional)


def redrawn(keys, logits):
    """The token that each position's key draws from `logits [pictures, n, codebook]`."""

    def draw(key, logits):
        position_keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(len(logits)))
        return jax.vmap(jax.random.categorical)(position_keys, logits)

    return np.asarray(jax.vmap(draw)(keys, jnp.asarray(logits)))
