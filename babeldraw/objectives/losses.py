"""The formulas that objectives minimise."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from babeldraw.models.vit_vqgan import logit, squeeze

Terms = dict[str, tuple[Any, Float[Array, ""]]]
"""Weight and value of each term of a loss."""


def weighted_sum(terms: Terms) -> Float[Array, ""]:
    """The loss that `terms` make up."""
    return jnp.sum(jnp.stack([weight * value for weight, value in terms.values()]))


def logit_laplace(
    images: Float[Array, "batch height width 3"], output: Float[Array, "batch height width 6"]
) -> Float[Array, ""]:
    """Mean negative log-likelihood of `images` under a logit-Laplace distribution a channel.

    `f(x | mu, b) = exp(-|logit(x) - mu| / b) / (2 b x (1 - x))` (DALL-E, arXiv 2102.12092, eq. 2),
    for x squeezed into [0.1, 0.9].

    Args:
      images: in [0, 1].
      output: `mu` in the first three channels, `ln b` in the last three.
    """
    x = squeeze(images)
    mu, log_scale = jnp.split(output, 2, axis=-1)
    return jnp.mean(
        jnp.abs(logit(x) - mu) * jnp.exp(-log_scale) + log_scale + jnp.log(2 * x * (1 - x))
    )


def vector_quantization(
    z: Float[Array, "batch n code_dim"],
    codes: Float[Array, "batch n code_dim"],
    commitment_weight: float = 0.25,
) -> Float[Array, ""]:
    """`mean |sg[z] - e|^2 + beta * mean |z - sg[e]|^2`, the mean over tokens (patent, stage 1).

    `z` and `codes` (e) come L2-normalised from the model.
    """
    stop = jax.lax.stop_gradient

    def squared_distance(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.mean(jnp.sum(jnp.square(a - b), axis=-1))

    return squared_distance(stop(z), codes) + commitment_weight * squared_distance(z, stop(codes))


def token_cross_entropy(
    logits: Float[Array, "batch n codebook"], tokens: Int[Array, "batch n"]
) -> Float[Array, ""]:
    """Mean next-token negative log-likelihood in nats a token."""
    return -jnp.mean(token_log_probabilities(logits, tokens))


def token_log_probabilities(
    logits: Float[Array, "batch n codebook"], tokens: Int[Array, "batch n"]
) -> Float[Array, "batch n"]:
    """Of each token that is there, in nats."""
    log_probabilities = jax.nn.log_softmax(logits, axis=-1)
    return jnp.take_along_axis(log_probabilities, tokens[..., None], axis=-1)[..., 0]


def z_loss(logits: Float[Array, "batch n codebook"]) -> Float[Array, ""]:
    """Mean over tokens of `(ln sum_i exp(logit_i))^2`, which keeps logits near where they are.

    PaLM (arXiv 2204.02311, section 5) and T5X weigh it by 1e-4.
    """
    return jnp.mean(jnp.square(jax.nn.logsumexp(logits, axis=-1)))


def psnr(mean_square_error: Float[Array, ""]) -> Float[Array, ""]:
    """PSNR in dB for pictures in [0, 1]."""
    return -10 * jnp.log10(mean_square_error + 1e-12)
