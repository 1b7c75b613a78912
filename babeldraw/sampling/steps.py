"""The steps in which tokens are drawn, as many of them at a time as are wanted."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from babeldraw.sampling.decoder import CachedDecoder, Caches, Read
from babeldraw.sampling.filters import keep_likely, keep_top_k, keep_top_p
from babeldraw.sampling.schedule import Schedule

OfPictures = float | Float[Array, "pictures"]
"""A number for all pictures, which is compiled in, or one for each, which is not."""


class Rule(NamedTuple):
    """How a token is drawn from logits; see `generate.generate_tokens`.

    Attributes:
      weights: one a condition.
    """

    weights: tuple[OfPictures, ...]
    temperature: OfPictures = 1.0
    cutoff: OfPictures = 0.0
    top_k: int | None = None
    top_p: float | None = None


class State(NamedTuple):
    """Where drawing stands: tokens so far, the log-probability of each of them, and the caches."""

    tokens: Int[Array, "pictures n"]
    likely: Float[Array, "pictures n"]
    caches: Caches


def run_steps(
    decoder: CachedDecoder,
    read: Read,
    plan: Schedule,
    rule: Rule,
    keys: Key[Array, "pictures"],
    state: State,
    first: int | Int[Array, ""],
    end: int | Int[Array, ""],
    stay: Bool[Array, "#pictures n"] | None = None,
) -> State:
    """The steps of `plan` from `first` up to, not including, `end`. Traceable.

    Args:
      keys: the token at position p of a picture is drawn with `fold_in(key, p)`.
      stay: tokens that are as they stand in the state whatever is drawn there.
    """

    def step(index: Int[Array, ""], state: State) -> State:
        tokens, likely, caches = state
        positions = jnp.asarray(plan.positions)[index]
        # An idle lane computes the last position over again, and nobody looks at it.
        here = jnp.minimum(positions, tokens.shape[1] - 1)
        slots, visible = jnp.asarray(plan.slots)[index], jnp.asarray(plan.visible)[index]
        logits, caches = decoder.step(read, tokens, here, slots, visible, caches)
        logits, conditional = combine(logits, rule.weights)
        logits = keep_likely(logits, conditional, _beside_logits(rule.cutoff))
        drawn = _draw(keys, positions, keep_top_k(logits, rule.top_k), rule)
        if stay is not None:  # The picture so far holds what is given.
            drawn = jnp.where(stay[:, here], tokens[:, here], drawn)
        nats = jax.nn.log_softmax(conditional, axis=-1)
        picked = jnp.take_along_axis(nats, drawn[..., None], axis=-1)[..., 0]
        tokens = tokens.at[:, positions].set(drawn, mode="drop")
        return State(tokens, likely.at[:, positions].set(picked, mode="drop"), caches)

    result: State = jax.lax.fori_loop(first, end, step, state)
    return result


def combine(
    logits: Float[Array, "pictures branches new codebook"], weights: Sequence[OfPictures]
) -> tuple[Float[Array, "pictures new codebook"], Float[Array, "pictures new codebook"]]:
    """Guided logits, and the conditional ones that `cutoff` goes by.

    Args:
      logits: of a branch for each weight, then the unconditional one if there is one more.
    """
    conditional = [logits[:, index] for index in range(len(weights))]
    positive = [_positive(weight) for weight in weights]
    total = functools.reduce(lambda a, b: a + b, positive)
    nothing = total == 0
    wanted = [weight / (total + nothing) for weight in positive]
    reference = _weighted(wanted, conditional)
    if logits.shape[1] == len(weights):
        return _weighted(weights, conditional), reference
    unconditional = logits[:, -1]
    guided = unconditional + _weighted(weights, [one - unconditional for one in conditional])
    if isinstance(nothing, bool):
        return guided, unconditional if nothing else reference
    return guided, jnp.where(_beside_logits(nothing), unconditional, reference)


def _positive(weight: OfPictures) -> OfPictures:
    return max(weight, 0.0) if isinstance(weight, int | float) else jnp.maximum(weight, 0)


def _weighted(weights: Sequence[OfPictures], arrays: Sequence[jax.Array]) -> jax.Array:
    terms = [_beside_logits(weight) * one for weight, one in zip(weights, arrays, strict=True)]
    return functools.reduce(jnp.add, terms)


def _beside_logits(number: OfPictures | Bool[Array, "pictures"]) -> float | jax.Array:
    """So that it multiplies `[pictures, new, codebook]`."""
    return number if isinstance(number, int | float) else number[:, None, None]


def _draw(
    keys: Key[Array, "pictures"],
    positions: Int[Array, "new"],
    logits: Float[Array, "pictures new codebook"],
    rule: Rule,
) -> Int[Array, "pictures new"]:
    """At temperature 0 the most probable tokens."""
    best = jnp.argmax(logits, axis=-1).astype(jnp.int32)
    temperature = rule.temperature
    if isinstance(temperature, int | float):
        if temperature == 0:
            return best
        return _by_chance(keys, positions, keep_top_p(logits / temperature, rule.top_p))
    cold = temperature == 0
    divided = logits / _beside_logits(jnp.where(cold, 1, temperature))
    by_chance = _by_chance(keys, positions, keep_top_p(divided, rule.top_p))
    return jnp.where(cold[:, None], best, by_chance)


def _by_chance(
    keys: Key[Array, "pictures"],
    positions: Int[Array, "new"],
    logits: Float[Array, "pictures new codebook"],
) -> Int[Array, "pictures new"]:
    def draw(key: jax.Array, position: jax.Array, logits: jax.Array) -> jax.Array:
        return jax.random.categorical(jax.random.fold_in(key, position), logits)

    drawn: jax.Array = jax.vmap(jax.vmap(draw, (None, 0, 0)), (0, None, 0))(keys, positions, logits)
    return drawn.astype(jnp.int32)
