"""Sampling image tokens: one decoder step a token, with cached keys and values.

The prompt is encoded once. Each step feeds one token through all decoder layers (written out one
after another: a scan would copy the caches), attends to the cache, and draws the next token with
a key that depends on the picture and the position only, so batch size and order change nothing.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from babeldraw.models.encoder_decoder import EncoderDecoder
from babeldraw.models.transformer import KeysValues, TransformerLayer
from babeldraw.parallel.execution import unstack_layers

Caches = tuple[KeysValues, ...]
"""Keys and values `[batch, n, heads, head_dim]` of the image tokens so far, one pair a layer."""


class CachedDecoder:
    """The decoder of an `EncoderDecoder`, with everything that depends on the prompt computed once.

    Attributes:
      caches: empty caches to start from.
    """

    def __init__(
        self, model: EncoderDecoder, params: Any, text_tokens: Int[Array, "batch text"]
    ) -> None:
        self._model = model
        self._variables = {"params": params}
        self._mask = model.decoder_mask()
        self._layer: TransformerLayer = model.decoder_layer()
        self._layers = [{"params": layer} for layer in unstack_layers(params["decoder"]["layers"])]
        encoded, self._text_mask = model.apply(self._variables, text_tokens, method="encode")
        self._text = [
            self._layer.apply(layer, encoded, method="encoded_keys_values")
            for layer in self._layers
        ]
        empty = jnp.zeros(
            (text_tokens.shape[0], model.num_tokens, model.num_heads, model.head_dim), model.dtype
        )
        self.caches: Caches = ((empty, empty),) * model.decoder_layers

    def step(
        self, tokens: Int[Array, "batch n"], position: Int[Array, ""], caches: Caches
    ) -> tuple[Float[Array, "batch codebook"], Caches]:
        """Logits at `position`, from the tokens before it; later tokens are never read."""
        positions = position[None]
        x = self._model.apply(self._variables, tokens, positions, method="decoder_input")
        mask = self._mask[positions][None, None]
        new_caches = []
        for layer, cache, text in zip(self._layers, caches, self._text, strict=True):
            x, cache = self._layer.apply(
                layer, x, positions, cache, mask, text, self._text_mask, method="decode"
            )
            new_caches.append(cache)
        logits = self._model.apply(self._variables, x, method="decoder_logits")
        return logits[:, 0], tuple(new_caches)


def generate_tokens(
    model: EncoderDecoder,
    params: Any,
    text_tokens: Int[Array, "batch text"],
    keys: Key[Array, "batch"],
    *,
    guidance_weight: float = 1.0,
    temperature: float = 1.0,
    cutoff: float = 0.0,
) -> Int[Array, "batch n"]:
    """Draws the image tokens of each prompt, in raster order. Traceable; settings are static.

    Args:
      keys: one a picture; the token at position p is drawn with `fold_in(key, p)`.
      guidance_weight: logits are `uncond + w (cond - uncond)` (patent). Both halves run in one
        batch and share one draw; at weight 1 the unconditional half is left out.
      temperature: divides the logits; 0 takes the most probable token.
      cutoff: tokens whose conditional probability is below `cutoff` times that of the best one are
        never drawn. It keeps guidance from boosting tokens that are improbable either way.
    """
    batch = text_tokens.shape[0]
    guided = guidance_weight != 1.0
    if guided:
        text_tokens = jnp.concatenate([text_tokens, jnp.zeros_like(text_tokens)])
    decoder = CachedDecoder(model, params, text_tokens)

    def step(position: jax.Array, state: tuple[jax.Array, Caches]) -> tuple[jax.Array, Caches]:
        tokens, caches = state
        logits, caches = decoder.step(jnp.tile(tokens, (1 + guided, 1)), position, caches)
        conditional = logits[:batch]
        if guided:
            logits = logits[batch:] + guidance_weight * (conditional - logits[batch:])
        logits = jnp.where(_kept(conditional, cutoff), logits, -jnp.inf)
        if temperature == 0:
            drawn = jnp.argmax(logits, axis=-1)
        else:
            position_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, position)
            drawn = jax.vmap(jax.random.categorical)(position_keys, logits / temperature)
        return tokens.at[:, position].set(drawn.astype(jnp.int32)), caches

    start = jnp.zeros((batch, model.num_tokens), jnp.int32)
    tokens, _ = jax.lax.fori_loop(0, model.num_tokens, step, (start, decoder.caches))
    return tokens


def _kept(
    conditional: Float[Array, "batch codebook"], cutoff: float
) -> Bool[Array, "batch codebook"]:
    """Which tokens may be drawn: `log p >= log p_best + log cutoff`."""
    if cutoff == 0:
        return jnp.ones(conditional.shape, bool)
    best = jnp.max(conditional, axis=-1, keepdims=True)
    return conditional >= best + jnp.log(cutoff)
