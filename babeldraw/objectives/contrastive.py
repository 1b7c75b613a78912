"""Pictures and texts of a batch that are to find each other: what CoCa and text encoders share."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from babeldraw.objectives.base import Metrics
from babeldraw.parallel.rules import with_logical_constraint


def similarities(
    of_image: Float[Array, "batch width"],
    of_text: Float[Array, "batch width"],
    scale: Float[Array, ""],
) -> Float[Array, "images texts"]:
    """Of all pictures with all texts of the global batch, whatever devices they are on."""
    # Every device has its pictures' rows, of all texts of the batch.
    of_text = with_logical_constraint(of_text, (None, None))
    return with_logical_constraint(scale * of_image @ of_text.T, ("batch", None))


def contrastive_loss(
    scores: Float[Array, "images texts"], same: Bool[Array, "images texts"] | None = None
) -> Float[Array, ""]:
    """Cross-entropy of each row's own column, plus that of each column's own row.

    CoCa's equation 2 (arXiv 2205.01917).

    Args:
      same: pairs that are as right as a row's own, and are left out of both sums.
    """
    if same is not None:
        own = jnp.eye(scores.shape[0], dtype=bool)
        scores = jnp.where(same & ~own, -jnp.inf, scores)
    rows = jnp.mean(jnp.diagonal(jax.nn.log_softmax(scores, axis=1)))
    columns = jnp.mean(jnp.diagonal(jax.nn.log_softmax(scores, axis=0)))
    return -(rows + columns)


def choices(
    scores: Float[Array, "images texts"], same: Bool[Array, "images texts"] | None = None
) -> Metrics:
    """The share of pictures whose best text is their own, or the same, and that of texts."""
    right = jnp.eye(scores.shape[0], dtype=bool)
    if same is not None:
        right = right | same

    def share(best: Int[Array, "n"], right: Bool[Array, "n n"]) -> jax.Array:
        return jnp.mean(jnp.take_along_axis(right, best[:, None], axis=1))

    return {
        "image_to_text": share(jnp.argmax(scores, axis=1), right),
        "text_to_image": share(jnp.argmax(scores, axis=0), right.T),
    }


def equal_texts(text_tokens: Int[Array, "batch text"]) -> Bool[Array, "batch batch"]:
    """Which texts of the global batch are the same, token by token."""
    everyone = with_logical_constraint(text_tokens, (None, None))
    return jnp.all(text_tokens[:, None] == everyone[None], axis=-1)
