"""Attention by plain batched products over all pairs of a query and a key."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def attend(
    query: Float[Array, "*lead queries d"],
    keys: Float[Array, "*lead length d"],
    values: Float[Array, "*lead length d"],
    mask: Bool[Array, "..."] | None = None,
) -> Float[Array, "*lead queries d"]:
    """What each query reads of the values, in their dtype; the softmax is in float32.

    Args:
      query: scaled.
      mask: `mask[.., query, key]`, which may be read, broadcast over `lead`; None: all.
    """
    scores = _scores(query, keys)
    if mask is not None:
        scores = jnp.where(mask, scores, jnp.finfo(jnp.float32).min)
    return jax.nn.softmax(scores, axis=-1).astype(values.dtype) @ values


@jax.custom_vjp
def _scores(
    query: Float[Array, "*lead queries d"], keys: Float[Array, "*lead length d"]
) -> Float[Array, "*lead queries length"]:
    """The products in float32, whose gradient is rounded to the dtype of the keys.

    Scores rounded to bfloat16 would be wrong by up to 1/256 of themselves in the exponent. Their
    gradient goes into two products of that dtype: in float32 it would be moved as twice the bytes.
    """
    return jnp.matmul(query, keys.swapaxes(-1, -2), preferred_element_type=jnp.float32)


def _scores_forward(
    query: jax.Array, keys: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _scores(query, keys), (query, keys)


def _scores_backward(
    saved: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    query, keys = saved
    gradient = gradient.astype(keys.dtype)
    return gradient @ keys, gradient.swapaxes(-1, -2) @ query


_scores.defvjp(_scores_forward, _scores_backward)
