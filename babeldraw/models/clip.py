"""CLIP's two towers with Vision Transformers (arXiv 2103.00020): a text and a picture as vectors.

Functions of their parameters, never trained here, and always float32.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Params = Mapping[str, Any]
"""`vision`: `patches` [patch * patch * 3, width], `class` [width], `positions` [1 + n, width],
`before` and `after` (norms), `layers` (stacked along the first axis), `projection` [width, out].
`text`: `tokens` [vocabulary, width], `positions`, `after`, `layers`, `projection`.
A norm is `{"scale", "bias"}`, a matrix `{"kernel": [in, out], "bias"}`; a layer has `norm1`,
`query`, `key`, `value`, `output`, `norm2`, `up` and `down`."""


@dataclasses.dataclass(frozen=True)
class CLIP:
    """What the weights do not say.

    Attributes:
      patch: side of the patches, in pixels.
      quick: whether the activation is `x sigmoid(1.702 x)` as OpenAI's is, or GELU.
    """

    patch: int
    vision_heads: int
    text_heads: int
    quick: bool

    def embed_images(
        self, params: Params, images: Float[Array, "batch side side 3"]
    ) -> Float[Array, "batch out"]:
        """Embeddings of length 1; the pictures are normalised as CLIP's are."""
        vision = params["vision"]
        batch, side = images.shape[:2]
        grid = side // self.patch
        x = images.reshape(batch, grid, self.patch, grid, self.patch, 3).swapaxes(2, 3)
        x = x.reshape(batch, grid * grid, -1) @ vision["patches"]
        first = jnp.broadcast_to(vision["class"], (batch, 1, x.shape[2]))
        x = jnp.concatenate([first, x], axis=1) + vision["positions"]
        x = self._layers(vision["layers"], _norm(vision["before"], x), self.vision_heads, False)
        return _unit(_norm(vision["after"], x[:, 0]) @ vision["projection"])

    def embed_texts(
        self, params: Params, tokens: Int[Array, "batch length"]
    ) -> Float[Array, "batch out"]:
        """Embeddings of length 1, read at the first end token: the largest there is."""
        text = params["text"]
        x = text["tokens"][tokens] + text["positions"][: tokens.shape[1]]
        x = self._layers(text["layers"], x, self.text_heads, True)
        ends = jnp.argmax(tokens, axis=1)
        x = jnp.take_along_axis(x, ends[:, None, None], axis=1)[:, 0]
        return _unit(_norm(text["after"], x) @ text["projection"])

    def _layers(self, layers: Params, x: jax.Array, heads: int, causal: bool) -> jax.Array:
        def layer(x: jax.Array, params: Params) -> tuple[jax.Array, None]:
            x = x + self._attention(params, _norm(params["norm1"], x), heads, causal)
            hidden = _linear(params["up"], _norm(params["norm2"], x))
            hidden = _quick_gelu(hidden) if self.quick else jax.nn.gelu(hidden, approximate=False)
            return x + _linear(params["down"], hidden), None

        y: jax.Array = jax.lax.scan(layer, x, layers)[0]
        return y

    def _attention(self, params: Params, x: jax.Array, heads: int, causal: bool) -> jax.Array:
        split = (*x.shape[:2], heads, x.shape[2] // heads)
        query, key, value = (
            _linear(params[name], x).reshape(split) for name in ("query", "key", "value")
        )
        scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) / split[3] ** 0.5
        if causal:
            seen = jnp.tril(jnp.ones(scores.shape[2:], bool))
            scores = jnp.where(seen, scores, -jnp.inf)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores, axis=-1), value)
        return _linear(params["output"], mixed.reshape(x.shape))


def _linear(params: Params, x: jax.Array) -> jax.Array:
    y: jax.Array = x @ params["kernel"] + params["bias"]
    return y


def _norm(params: Params, x: jax.Array) -> jax.Array:
    mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    y: jax.Array = (x - mean) * jax.lax.rsqrt(variance + 1e-5) * params["scale"] + params["bias"]
    return y


def _quick_gelu(x: jax.Array) -> jax.Array:
    return x * jax.nn.sigmoid(1.702 * x)


def _unit(x: jax.Array) -> jax.Array:
    unit: jax.Array = x / jnp.linalg.norm(x, axis=-1, keepdims=True)
    return unit
