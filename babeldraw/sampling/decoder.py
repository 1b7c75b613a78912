"""The decoder, one step at a time, with everything that depends on the prompts computed once."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from babeldraw.models.encoder_decoder import EncoderDecoder
from babeldraw.models.image_decoder import ImageDecoder
from babeldraw.models.layers import BY_OUTPUT, BranchKeysValues
from babeldraw.models.transformer import KeysValues, TransformerLayer
from babeldraw.parallel.execution import unstack_layers
from babeldraw.parallel.rules import pipeline_rules

Caches = tuple[KeysValues, ...]
"""Keys and values `[rows, places, heads, head_dim]` of some image tokens, one pair a layer."""


class CachedDecoder:
    """The decoder of a model for pictures of some prompts: of texts, or of classes.

    Every picture has a row for each branch: one a condition of its prompt, and last the
    unconditional one, if any. A text is read by cross-attention, a class at the first position.
    Layers are written out one after another: a scan would copy the caches.
    """

    def __init__(
        self,
        model: ImageDecoder,
        params: Any,
        prompts: Int[Array, "prompts conditions *condition"],
        with_unconditional: bool,
    ) -> None:
        """Encodes each text once, however many pictures it is for.

        Args:
          prompts: see `generate.generate_tokens`, with as many conditions for each.
          with_unconditional: add the branch of the empty condition; a text is encoded once for all.
        """
        self._model = model
        self._variables = {"params": params, BY_OUTPUT: {"logits": _by_output(params["logits"])}}
        self._layer: TransformerLayer = model.decoder_layer()
        self._layers = [
            {"params": layer, BY_OUTPUT: _by_output(layer)}
            for layer in unstack_layers(params["decoder"]["layers"])
        ]
        conditions = prompts.shape[1]
        self.num_branches = conditions + with_unconditional
        self._classes: jax.Array | None = None  # [prompts, branches]
        self._branches: list[tuple[BranchKeysValues, ...]] = [()] * model.decoder_layers
        if isinstance(model, EncoderDecoder):
            branches = [self._branch(prompts[:, index]) for index in range(conditions)]
            if with_unconditional:
                # A batch of one is not split over the devices.
                with nn.logical_axis_rules(pipeline_rules(nn.get_logical_axis_rules())):
                    empty = jnp.full((1, *prompts.shape[2:]), model.no_condition)
                    branches.append(self._branch(empty))
            self._branches = list(zip(*branches, strict=True))  # [layers][branches]
        elif model.num_classes:
            without = ((0, 0), (0, int(with_unconditional)))
            self._classes = jnp.pad(prompts, without, constant_values=model.no_condition)

    def _branch(self, text: Int[Array, "prompts text"]) -> list[BranchKeysValues]:
        encoded, mask = self._model.apply(self._variables, text, method="encode")
        return [
            (*self._layer.apply(layer, encoded, method="encoded_keys_values"), mask)
            for layer in self._layers
        ]

    def empty_caches(self, pictures: int, capacity: int) -> Caches:
        """Caches with `capacity` places."""
        model = self._model
        rows = pictures * self.num_branches
        empty = jnp.zeros((rows, capacity, model.num_heads, model.head_dim), model.dtype)
        return ((empty, empty),) * model.decoder_layers

    def step(
        self,
        tokens: Int[Array, "pictures n"],
        positions: Int[Array, "new"],
        slots: Int[Array, "new"],
        visible: Bool[Array, "new capacity"],
        caches: Caches,
    ) -> tuple[Float[Array, "pictures branches new codebook"], Caches]:
        """Logits at `positions`, from the tokens before them; later tokens are never read.

        Args:
          slots: their places in the caches, which are written first.
          visible: the places that each of them attends to.
        """
        x, caches = self._run(tokens, positions, slots, visible, caches)
        logits = self._model.apply(self._variables, x, method="decoder_logits")
        return logits.reshape(-1, self.num_branches, *logits.shape[1:]), caches

    def prefill(
        self,
        prefix: Int[Array, "pictures prefix"],
        kept: Int[np.ndarray, "kept"],
        kept_slots: Int[np.ndarray, "kept"],
        capacity: int,
    ) -> Caches:
        """Caches after given tokens, all of them in one step.

        Args:
          kept: the positions that are still read, and their places `kept_slots`.
        """
        pictures, length = prefix.shape
        positions = jnp.arange(length)
        mask = self._model.decoder_mask()[:length, :length]
        whole = self.empty_caches(pictures, length)
        _, whole = self._run(prefix, positions, positions, mask, whole)
        return tuple(
            (
                no_keys.at[:, kept_slots].set(keys[:, kept]),
                no_values.at[:, kept_slots].set(values[:, kept]),
            )
            for (no_keys, no_values), (keys, values) in zip(
                self.empty_caches(pictures, capacity), whole, strict=True
            )
        )

    def _run(
        self,
        tokens: jax.Array,
        positions: jax.Array,
        slots: jax.Array,
        visible: jax.Array,
        caches: Caches,
    ) -> tuple[Float[Array, "rows new d_model"], Caches]:
        classes = self._classes
        if classes is not None:
            classes = jnp.repeat(classes, len(tokens) // len(classes), axis=0).reshape(-1)
        tokens = jnp.repeat(tokens, self.num_branches, axis=0)
        x = self._model.apply(self._variables, tokens, positions, classes, method="decoder_input")
        mask = visible[None, None]
        new_caches = []
        for layer, cache, branches in zip(self._layers, caches, self._branches, strict=True):
            x, cache = self._layer.apply(layer, x, slots, cache, mask, branches, method="decode")
            new_caches.append(cache)
        return x, tuple(new_caches)


def _by_output(params: Any) -> Any:
    """The same tree with every kernel as `[fan_out, fan_in]` (see `layers.Linear`)."""

    def transpose(path: tuple[Any, ...], value: jax.Array) -> jax.Array:
        names = [key.key for key in path]
        if names[-1] != "kernel":
            return value
        # Of the layers' kernels only attention's outputs have two input dimensions.
        inputs = 2 if "output" in names else 1
        return value.reshape(math.prod(value.shape[:inputs]), -1).T

    return jax.tree_util.tree_map_with_path(transpose, params)
