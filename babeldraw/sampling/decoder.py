"""The decoder, one step at a time, with everything that depends on the prompts computed once."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from babeldraw.models import int8
from babeldraw.models.encoder_decoder import EncoderDecoder
from babeldraw.models.image_decoder import ImageDecoder
from babeldraw.models.layers import BY_OUTPUT, BranchKeysValues
from babeldraw.models.transformer import KeysValues, TransformerLayer
from babeldraw.parallel.execution import unstack_layers
from babeldraw.parallel.rules import pipeline_rules

Caches = tuple[KeysValues, ...]
"""Keys and values `[rows, places, heads, head_dim]` of some image tokens, one pair a layer."""


class Read(NamedTuple):
    """What depends on the prompts alone, for every step of their pictures.

    Every picture has a row for each branch: one a condition of its prompt, and last the
    unconditional one, if any.

    Attributes:
      texts: `[layers][branches]`, read by cross-attention; no branches in a model without texts.
      classes: `[prompts, branches]`, read at the first position; None in a model of texts.
    """

    texts: tuple[tuple[BranchKeysValues, ...], ...]
    classes: Int[Array, "prompts branches"] | None

    @property
    def num_branches(self) -> int:
        """Rows a picture."""
        return len(self.texts[0]) if self.classes is None else self.classes.shape[1]


class CachedDecoder:
    """The decoder of a model, its weights laid out for one step after another.

    Layers are written out one after another: a scan would copy the caches.
    """

    def __init__(self, model: ImageDecoder, params: Any) -> None:
        """Args:
        params: of the model, as they are or `int8.quantize`d.
        """
        values, scales = int8.split(params)
        self._model = model
        logits = {"logits": _by_output(values["logits"])}
        self._variables = {"params": values, int8.SCALES: scales, BY_OUTPUT: logits}
        self._layer: TransformerLayer = model.decoder_layer()
        layers = {"params": values["decoder"]["layers"]}
        if "decoder" in scales:
            layers[int8.SCALES] = scales["decoder"]["layers"]
        self._layers = [
            {**layer, BY_OUTPUT: _by_output(layer["params"])} for layer in unstack_layers(layers)
        ]

    def read(
        self, prompts: Int[Array, "prompts conditions *condition"], with_unconditional: bool
    ) -> Read:
        """Encodes each text once, however many pictures it is for.

        Args:
          prompts: see `generate.generate_tokens`, with as many conditions for each.
          with_unconditional: add the branch of the empty condition; a text is encoded once for all.
        """
        model = self._model
        if not isinstance(model, EncoderDecoder):
            without = ((0, 0), (0, int(with_unconditional)))
            classes = jnp.pad(prompts, without, constant_values=model.no_condition)
            return Read(((),) * model.decoder_layers, classes)
        branches = [self._branch(prompts[:, index]) for index in range(prompts.shape[1])]
        if with_unconditional:
            # A batch of one is not split over the devices.
            with nn.logical_axis_rules(pipeline_rules(nn.get_logical_axis_rules())):
                empty = jnp.full((1, *prompts.shape[2:]), model.no_condition)
                branches.append(self._branch(empty))
        return Read(tuple(zip(*branches, strict=True)), None)

    def _branch(self, text: Int[Array, "prompts text"]) -> list[BranchKeysValues]:
        encoded, mask = self._model.apply(self._variables, text, method="encode")
        return [
            (*self._layer.apply(layer, encoded, method="encoded_keys_values"), mask)
            for layer in self._layers
        ]

    def empty_caches(self, rows: int, capacity: int) -> Caches:
        """Caches with `capacity` places, of as many rows as pictures have branches together."""
        model = self._model
        empty = jnp.zeros((rows, capacity, model.num_heads, model.head_dim), model.dtype)
        return ((empty, empty),) * model.decoder_layers

    def step(
        self,
        read: Read,
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
        x, caches = self._run(read, tokens, positions, slots, visible, caches)
        logits = self._model.apply(self._variables, x, method="decoder_logits")
        return logits.reshape(-1, read.num_branches, *logits.shape[1:]), caches

    def prefill(
        self,
        read: Read,
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
        rows = pictures * read.num_branches
        whole = self.empty_caches(rows, length)
        _, whole = self._run(read, prefix, positions, positions, mask, whole)
        return tuple(
            (
                no_keys.at[:, kept_slots].set(keys[:, kept]),
                no_values.at[:, kept_slots].set(values[:, kept]),
            )
            for (no_keys, no_values), (keys, values) in zip(
                self.empty_caches(rows, capacity), whole, strict=True
            )
        )

    def _run(
        self,
        read: Read,
        tokens: jax.Array,
        positions: jax.Array,
        slots: jax.Array,
        visible: jax.Array,
        caches: Caches,
    ) -> tuple[Float[Array, "rows new d_model"], Caches]:
        classes = None
        if read.classes is not None and self._model.num_classes:
            each = len(tokens) // len(read.classes)
            classes = jnp.repeat(read.classes, each, axis=0).reshape(-1)
        tokens = jnp.repeat(tokens, read.num_branches, axis=0)
        x = self._model.apply(self._variables, tokens, positions, classes, method="decoder_input")
        mask = visible[None, None]
        new_caches = []
        for layer, cache, branches in zip(self._layers, caches, read.texts, strict=True):
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
