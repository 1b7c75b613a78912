"""A pre-norm Transformer layer, and a stack of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from babeldraw.models.block_attention import Blocks
from babeldraw.models.int8 import SCALES
from babeldraw.models.layers import (
    Activation,
    Attention,
    BranchKeysValues,
    FeedForward,
    Keys,
    dropout,
    fold_keys,
    layer_norm,
)
from babeldraw.models.splash_attention import Splash
from babeldraw.parallel.execution import (
    SELF_ATTENTION_OUTPUT,
    Execution,
    LayerFn,
    apply_layers,
)
from babeldraw.parallel.gathering import placed_both_ways
from babeldraw.parallel.rules import is_box

KeysValues = tuple[
    Float[Array, "batch length heads head_dim"], Float[Array, "batch length heads head_dim"]
]

TextKeysValues = tuple[
    Float[Array, "batch text heads head_dim"], Float[Array, "batch text heads head_dim"]
]

RESIDUAL_AXES = ("batch", "length", "activation_embed")
"""The output of attention and feed-forward: fully partitioned in training, on a dimension other
than heads and hidden, which turns AllReduce into ReduceScatter and AllGather (patent, FIG. 6)."""

GATHERED_AXES = ("batch", "length", None)
"""What products with weights read of it."""

FEATURES = "features"
"""Collection in which a stack leaves `blocks float32[layers, batch, d_model]`: what each layer
gives, averaged over the positions. Where it is not mutable, nothing is averaged."""


class TransformerLayer(nn.Module):
    """Self-attention, cross-attention (if `with_cross_attention`), feed-forward, each residual.

    Dropout stands on attention outputs, MLP activations and residual branches (patent).
    """

    d_model: int
    num_heads: int
    head_dim: int
    mlp_dim: int
    activation: Activation = nn.relu
    with_cross_attention: bool = False
    use_bias: bool = False
    dropout_rate: float = 0.0
    dtype: DTypeLike = jnp.float32
    qk_norm: bool = False

    def setup(self) -> None:
        def attention() -> Attention:
            return Attention(
                self.num_heads,
                self.head_dim,
                self.d_model,
                self.use_bias,
                self.dtype,
                self.qk_norm,
            )

        self.self_attention_norm = layer_norm()
        self.self_attention = attention()
        if self.with_cross_attention:
            self.cross_attention_norm = layer_norm()
            self.cross_attention = attention()
        self.mlp_norm = layer_norm()
        self.mlp = FeedForward(
            self.mlp_dim,
            self.d_model,
            self.activation,
            self.use_bias,
            self.dropout_rate,
            self.dtype,
        )

    def __call__(
        self,
        x: Float[Array, "batch length d_model"],
        *,
        mask: Bool[Array, "#batch 1 #length #length"] | Blocks | Splash | None = None,
        encoded: Float[Array, "batch text d_model"] | None = None,
        encoded_mask: Bool[Array, "batch 1 1 text"] | Splash | None = None,
        keys: Keys = None,
    ) -> Float[Array, "batch length d_model"]:
        y = self._read(self.self_attention_norm, x)
        y = self.self_attention(y, *self.self_attention.keys_values(y), mask)
        y = checkpoint_name(self._split(y), SELF_ATTENTION_OUTPUT)
        x = self._add(x, y, keys, site=0)
        if self.with_cross_attention:
            assert encoded is not None
            y = self._read(self.cross_attention_norm, x)
            encoded = self._gather(encoded.astype(self.dtype))
            keys_values = self.cross_attention.keys_values(encoded)
            y = self._split(self.cross_attention(y, *keys_values, encoded_mask))
            x = self._add(x, y, keys, site=1)
        y = self.mlp(self._read(self.mlp_norm, x), keys, site=2)
        return self._add(x, self._split(y), keys, site=3)

    def _read(self, norm: nn.LayerNorm, x: jax.Array) -> jax.Array:
        """The residual, normalised in its parts, and gathered once for all products that read it.

        Their gradients are summed once, into the residual's parts.
        """
        return self._gather(norm(x).astype(self.dtype))

    def _gather(self, y: jax.Array) -> jax.Array:
        return placed_both_ways(y, (RESIDUAL_AXES, GATHERED_AXES), (RESIDUAL_AXES,))

    def _split(self, branch: jax.Array) -> jax.Array:
        """A branch, summed into the residual's parts; the mirror of `_read`."""
        return placed_both_ways(branch, (RESIDUAL_AXES,), (RESIDUAL_AXES, GATHERED_AXES))

    def _add(self, x: jax.Array, branch: jax.Array, keys: Keys, site: int) -> jax.Array:
        return x + dropout(branch, self.dropout_rate, keys, site)

    def encoded_keys_values(self, encoded: Float[Array, "batch text d_model"]) -> TextKeysValues:
        """Cross-attention's share of the text: computed once a prompt when decoding."""
        return self.cross_attention.keys_values(encoded.astype(self.dtype))

    def decode(
        self,
        x: Float[Array, "rows new d_model"],
        slots: Int[Array, "new"],
        cache: KeysValues,
        mask: Bool[Array, "1 1 new length"],
        branches: Sequence[BranchKeysValues],
    ) -> tuple[Float[Array, "rows new d_model"], KeysValues]:
        """One step for some tokens: writes their keys and values, attends to all of the cache.

        Equal to `__call__` at those positions when the cache holds every position they see.

        Args:
          slots: where in the cache each token goes; those beyond its end are not kept.
          mask: `mask[.., token, slot]`, after the new tokens are written.
          branches: see `Attention.over_branches`; none of a layer without cross-attention.
        """
        y = self.self_attention_norm(x).astype(self.dtype)
        new_keys, new_values = self.self_attention.keys_values(y)
        cache = (
            cache[0].at[:, slots].set(new_keys, mode="drop"),
            cache[1].at[:, slots].set(new_values, mode="drop"),
        )
        x = x + self.self_attention(y, *cache, mask)
        if self.with_cross_attention:
            y = self.cross_attention_norm(x).astype(self.dtype)
            x = x + self.cross_attention.over_branches(y, branches)
        return x + self.mlp(self.mlp_norm(x).astype(self.dtype)), cache


class Stack(nn.Module):
    """`num_layers` copies of `layer`, their weights stacked, run as `execution` says.

    Weights are `[layers, ...]`, or `[rounds, layers a round, ...]` where the stack is pipelined:
    reshaping one gives the other, from the first step on.
    """

    layer: TransformerLayer
    num_layers: int
    execution: Execution = Execution()

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch length d_model"],
        shared: Mapping[str, Any],
        mask: Bool[Array, "1 1 length length"] | Blocks | Splash | None = None,
    ) -> Float[Array, "batch length d_model"]:
        """Runs the stack.

        Args:
          shared: arguments of the layer with a leading batch dimension; each goes with its example
            to every layer (`keys` is made specific to the layer on the way).
          mask: the self-attention mask where it is the same for all examples.
        """
        layer = self.layer.clone(parent=None)
        constant = {} if mask is None else {"mask": mask}

        def init(key: jax.Array) -> Any:
            def init_layer(key: jax.Array) -> Any:
                return layer.init(key, x, **constant, **shared)["params"]

            stacked = jax.vmap(init_layer)(jax.random.split(key, self.num_layers))
            shape = self.execution.stack_shape(self.num_layers)
            axes = ("layers",) if len(shape) == 1 else ("rounds", "stages")
            return jax.tree.map(
                lambda box: box.replace(
                    value=box.value.reshape(*shape, *box.value.shape[1:]),
                    names=(*axes, *box.names),
                ),
                stacked,
                is_leaf=is_box,
            )

        def run(
            variables: Any, x: jax.Array, shared: Mapping[str, Any], index: jax.Array
        ) -> jax.Array:
            shared = {**shared, "keys": fold_keys(shared.get("keys"), index)}
            y: jax.Array = layer.apply(variables, x, **constant, **shared)
            return y

        variables = {"params": self.param("layers", init)}
        if self.has_variable(SCALES, "layers"):
            variables[SCALES] = self.get_variable(SCALES, "layers")
        if self.is_initializing():
            return x  # Of the same shape; and a batch of one would not divide into microbatches.
        if self.is_mutable_collection(FEATURES):
            return self._with_features(run, variables, x, shared)
        return apply_layers(run, variables, x, dict(shared), self.execution)

    def _with_features(
        self, run: LayerFn, variables: Any, x: jax.Array, shared: Mapping[str, Any]
    ) -> jax.Array:
        """One layer after another, of weights `[layers, ...]`; see `FEATURES`."""

        def body(x: jax.Array, layer: tuple[Any, jax.Array]) -> tuple[jax.Array, jax.Array]:
            x = run(layer[0], x, shared, layer[1])
            return x, jnp.mean(x.astype(jnp.float32), axis=1)

        y, means = jax.lax.scan(body, x, (variables, jnp.arange(self.num_layers)))
        self.sow(FEATURES, "blocks", means, reduce_fn=lambda _, new: new, init_fn=lambda: None)
        return y
