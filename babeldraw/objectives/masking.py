"""Which tokens of a text are hidden from a text encoder, and by what (BERT, arXiv 1810.04805)."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from babeldraw.errors import UserError
from babeldraw.ranges import AboveZeroBelowOne, Share, Zoom

SPECIAL = 3
"""Padding, end and unknown, the first ids of a vocabulary, are neither hidden nor put anywhere."""


class Hidden(NamedTuple):
    """Texts with some of their tokens to be guessed.

    Attributes:
      tokens: what is read; where `hidden`, nothing of it is.
      hidden: a mark stands there.
      guessed: what the loss is of: hidden, replaced, or left as it was.
    """

    tokens: Int[Array, "batch text"]
    hidden: Bool[Array, "batch text"]
    guessed: Bool[Array, "batch text"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Masking:
    """BERT's: of the tokens to be guessed most are hidden, some replaced, and some left.

    Attributes:
      rate: share of the tokens that are to be guessed.
      hidden, replaced: shares of those; the rest is left as it is.
      span: mean length of what is guessed, in tokens, each span being hidden, replaced or left as
        a whole (SpanBERT, arXiv 1907.10529, has 3.8); 1: single tokens, each by itself.

    Raises:
      UserError: the shares add up to more than 1, or there is no room between spans.
    """

    rate: AboveZeroBelowOne = 0.15
    hidden: Share = 0.8
    replaced: Share = 0.1
    span: Zoom = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise UserError(
                f"Masking.rate is {self.rate}: at 0 nothing is to be guessed, and at 1 nothing is "
                "left to guess from; give a share between them, such as BERT's 0.15."
            )
        if self.hidden + self.replaced > 1 + 1e-9:
            raise UserError(
                f"Masking.hidden {self.hidden} and replaced {self.replaced} are shares of the same "
                "tokens, and add up to more than 1: give less, such as BERT's 0.8 and 0.1."
            )
        if self.span > 1 and self.rate > self.span * (1 - self.rate):
            raise UserError(
                f"Masking.rate {self.rate} leaves no token between spans of {self.span:g}: give a "
                f"lower rate, {self.span / (1 + self.span):.2f} at most."
            )

    def __call__(
        self,
        text_tokens: Int[Array, "batch text"],
        keys: Key[Array, "batch"],
        vocab_size: int,
    ) -> Hidden:
        """Hides tokens of each text, by its own key.

        Where a text lies in the batch, and how far it is padded, changes nothing for it.
        """
        where, how, what = jax.vmap(lambda key: jax.random.split(key, 3))(keys).T

        def uniform(key: Key[Array, "batch"]) -> Float[Array, "batch text"]:
            return jax.vmap(lambda k: jax.random.uniform(k, text_tokens.shape[1:]))(key)

        chosen, decided = self._choose(uniform(where)), uniform(how)
        if self.span > 1:
            decided = _of_first(decided, chosen)
        guessed = chosen & (text_tokens >= SPECIAL)
        replaced = guessed & (decided >= self.hidden) & (decided < self.hidden + self.replaced)
        random = jax.vmap(
            lambda k: jax.random.randint(k, text_tokens.shape[1:], SPECIAL, vocab_size)
        )(what)
        return Hidden(
            jnp.where(replaced, random, text_tokens), guessed & (decided < self.hidden), guessed
        )

    def _choose(self, drawn: Float[Array, "batch text"]) -> Bool[Array, "batch text"]:
        """Which positions are to be guessed, each with probability `rate`.

        Spans are the visits of a chain of two states: it stays in a span with probability
        1 - 1 / span, and begins one with that which makes `rate` the share of its time there.
        """
        if self.span == 1:
            return drawn < self.rate
        stay = 1 - 1 / self.span
        begin = self.rate / (self.span * (1 - self.rate))

        def step(inside: Bool[Array, "batch"], drawn: Float[Array, "batch"]) -> tuple[Array, Array]:
            inside = drawn < jnp.where(inside, stay, begin)
            return inside, inside

        first = drawn[:, 0] < self.rate
        _, rest = jax.lax.scan(step, first, drawn[:, 1:].T)
        return jnp.concatenate([first[:, None], rest.T], axis=1)


def _of_first(
    values: Float[Array, "batch text"], chosen: Bool[Array, "batch text"]
) -> Float[Array, "batch text"]:
    """At each position the value where the run of `chosen` began that it is in."""
    before = jnp.pad(chosen[:, :-1], ((0, 0), (1, 0)))
    index = jnp.arange(chosen.shape[1])
    begun = jax.lax.cummax(jnp.where(chosen & ~before, index, 0), axis=1)
    return jnp.take_along_axis(values, begun, axis=1)


def masked_loss(
    logits: Float[Array, "batch text vocab"],
    text_tokens: Int[Array, "batch text"],
    guessed: Bool[Array, "batch text"],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean cross-entropy in nats of the tokens to be guessed, and the share that is right.

    Where there are none, 0.
    """
    nats = jax.nn.log_softmax(logits, axis=-1)
    picked = jnp.take_along_axis(nats, text_tokens[..., None], axis=-1)[..., 0]
    count = jnp.maximum(jnp.sum(guessed), 1)
    right = jnp.argmax(logits, axis=-1) == text_tokens
    return -jnp.sum(picked * guessed) / count, jnp.sum(right & guessed) / count
