"""Which tokens may be drawn at all: a relative cutoff, the k best, the most probable share."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from babeldraw.errors import UserError

Logits = Float[Array, "*positions codebook"]


def check_filters(cutoff: float, top_k: int | None, top_p: float | None) -> None:
    """Raises a `UserError` for a setting that means nothing."""
    if not 0 <= cutoff < 1:
        raise UserError(f"cutoff is {cutoff}; give a share from 0 up to, not including, 1.")
    if top_k is not None and top_k < 1:
        raise UserError(f"top_k is {top_k}; give 1 or more, or None for all tokens.")
    if top_p is not None and not 0 < top_p <= 1:
        raise UserError(f"top_p is {top_p}; give a share above 0 and up to 1, or None for all.")


def keep_likely(
    logits: Logits, reference: Logits, cutoff: float | Float[Array, "#pictures #new 1"]
) -> Logits:
    """Leaves tokens whose probability under `reference` is `cutoff` times the best one's or more.

    The others become `-inf`, here and below.
    """
    if isinstance(cutoff, int | float) and cutoff == 0:
        return logits
    best = jnp.max(reference, axis=-1, keepdims=True)
    return jnp.where(reference >= best + jnp.log(cutoff), logits, -jnp.inf)


def keep_top_k(logits: Logits, count: int | None) -> Logits:
    """Leaves the `count` most probable tokens, and those as probable as the last of them."""
    if count is None or count >= logits.shape[-1]:
        return logits
    least = jax.lax.top_k(logits, count)[0][..., -1:]
    return jnp.where(logits >= least, logits, -jnp.inf)


def keep_top_p(logits: Logits, share: float | None) -> Logits:
    """Leaves the fewest tokens whose probabilities add up to `share` (arXiv 1904.09751).

    Of equally probable tokens at the border all stay.
    """
    if share is None or share == 1:
        return logits
    descending = -jnp.sort(-logits, axis=-1)
    probabilities = jax.nn.softmax(descending, axis=-1)
    before = jnp.cumsum(probabilities, axis=-1) - probabilities
    least = jnp.min(jnp.where(before < share, descending, jnp.inf), axis=-1, keepdims=True)
    return jnp.where(logits >= least, logits, -jnp.inf)
