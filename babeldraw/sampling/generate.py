"""Sampling image tokens in as few steps, and over as few bytes, as the model allows.

A text is encoded once, a class is read at the first position. Each step feeds some tokens through
all decoder layers, attends to the caches, and draws the next tokens with keys that depend on the
picture and the position only, so batch size, order and schedule change nothing but how sums are
rounded.
"""

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from babeldraw.errors import UserError
from babeldraw.models.image_decoder import ImageDecoder
from babeldraw.sampling.decoder import CachedDecoder
from babeldraw.sampling.filters import check_filters
from babeldraw.sampling.schedule import Order, make_schedule
from babeldraw.sampling.steps import Rule, State, run_steps

Weights = float | Sequence[float]
Prompts = TypeVar("Prompts", np.ndarray, jax.Array)


def generate_tokens(
    model: ImageDecoder,
    params: Any,
    prompts: Int[Array, "prompts *conditions"],
    keys: Key[Array, "pictures"],
    *,
    guidance_weight: Weights = 1.0,
    temperature: float = 1.0,
    cutoff: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    prefix: Int[Array, "pictures prefix"] | None = None,
    redraw: Sequence[int] = (),
    schedule: Order | None = None,
) -> tuple[Int[Array, "pictures n"], Float[Array, "pictures"]]:
    """Draws the image tokens of pictures of each prompt. Traceable; settings are static.

    Args:
      prompts: one condition a prompt, or several to be added up. Of an `EncoderDecoder` texts,
        `[prompts, text]` or `[prompts, texts, text]`; of an `ImageDecoder` the numbers of classes,
        `[prompts]` or `[prompts, classes]`, where `NO_CLASS` draws without (a model without classes
        draws so whatever the number).
      keys: one a picture, the pictures of a prompt next to each other, as many for each prompt;
        the token at position p is drawn with `fold_in(key, p)`.
      guidance_weight: logits are `uncond + w (cond - uncond)` (patent), or with several conditions
        `uncond + sum_i w_i (cond_i - uncond)`, one weight each; a negative one is for "without".
        All run in one batch and share one draw; where the weights add up to 1 the unconditional
        logits cancel and are left out.
      temperature: divides the logits; 0 takes the most probable token.
      cutoff: tokens whose conditional probability is below `cutoff` times that of the best one are
        never drawn. It keeps guidance from boosting tokens that are improbable either way. Of
        several, the logits of those with positive weights are averaged with these weights;
        without any, the unconditional ones count.
      top_k: draw among the most probable tokens, this many.
      top_p: draw among the fewest tokens that have this probability together, after `top_k`.
      prefix: the first tokens, in raster order, of each picture: given, not drawn.
      redraw: positions of the prefix to draw all the same. Such a token sees those before it
        only; the given ones after it stay as they are.
      schedule: for comparisons; by default the fastest that is exact (see `schedule`).

    Returns:
      The tokens, and a score of each picture: the mean log-probability, in nats a token, of those
      from the first drawn one on, given ones among them. It is that of the model with the prompt,
      before guidance, temperature and filters (of several conditions, that of `cutoff`). 0 where
      nothing is drawn.

    Raises:
      UserError: settings out of range, or lengths that do not fit each other.
    """
    prompts = with_conditions(model, prompts)
    weights = _as_tuple(guidance_weight)
    check_filters(cutoff, top_k, top_p)
    _check(model, prompts.shape[:2], keys.shape[0], weights, prefix, redraw)
    length = 0 if prefix is None else prefix.shape[1]
    kept = np.isin(np.arange(model.num_tokens), redraw, invert=True)
    kept[length:] = False
    given = min(redraw, default=length)
    plan = make_schedule(model, given, schedule)
    decoder = CachedDecoder(model, params)
    read = decoder.read(prompts, with_unconditional=sum(weights) != 1)
    tokens = jnp.zeros((keys.shape[0], model.num_tokens), jnp.int32)
    if prefix is not None:
        tokens = tokens.at[:, :length].set(prefix)
    likely = jnp.zeros(tokens.shape, jnp.float32)
    if given < model.num_tokens:
        if prefix is not None and given:
            kept_places = plan.kept, plan.kept_slots, plan.capacity
            caches = decoder.prefill(read, prefix[:, :given], *kept_places)
        else:
            caches = decoder.empty_caches(keys.shape[0] * read.num_branches, plan.capacity)
        rule = Rule(weights, temperature, cutoff, top_k, top_p)
        stay = jnp.asarray(kept)[None] if redraw else None
        state = State(tokens, likely, caches)
        steps = 0, len(plan.positions)
        tokens, likely, _ = run_steps(decoder, read, plan, rule, keys, state, *steps, stay)
    return tokens, jnp.sum(likely, axis=1) / max(model.num_tokens - given, 1)


def with_conditions(model: ImageDecoder, prompts: Prompts) -> Prompts:
    """`prompts` as `generate_tokens` takes them, `[prompts, conditions, *condition_shape]`."""
    condition = prompts.shape[prompts.ndim - len(model.condition_shape) :]
    return prompts.reshape(prompts.shape[0], -1, *condition)


def _as_tuple(weights: Weights) -> tuple[float, ...]:
    return tuple(weights) if isinstance(weights, Sequence) else (weights,)


def _check(
    model: ImageDecoder,
    conditions: tuple[int, ...],
    pictures: int,
    weights: tuple[float, ...],
    prefix: Int[Array, "pictures prefix"] | None,
    redraw: Sequence[int],
) -> None:
    if conditions[1] != len(weights):
        kind = "texts" if model.condition_shape else "classes"
        raise UserError(
            f"there are {len(weights)} guidance weights for {conditions[1]} {kind} a prompt; give "
            "one weight for each."
        )
    if not all(map(math.isfinite, weights)):
        raise UserError(f"guidance weights must be finite, not {weights}; give plain numbers.")
    if pictures % conditions[0]:
        raise UserError(
            f"{pictures} pictures cannot be shared by {conditions[0]} prompts; give as many keys "
            "for each prompt."
        )
    if prefix is not None and prefix.shape[1] > model.num_tokens:
        raise UserError(
            f"the prefix has {prefix.shape[1]} tokens and a picture {model.num_tokens}; give the "
            "first of them only."
        )
    length = 0 if prefix is None else prefix.shape[1]
    if redraw and not 0 <= min(redraw) <= max(redraw) < length:
        raise UserError(
            f"positions {min(redraw)} to {max(redraw)} are to be drawn again and {length} tokens "
            "are given; give positions of the prefix."
        )
