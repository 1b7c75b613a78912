"""The layers that Babeldraw's Transformers are made of.

Layers take dimensions, dtypes and logical axis names, never a config object. Weights are float32;
matrix products run in `dtype`, layer norms in float32 (the patent's split), softmaxes too.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Key, Num

from babeldraw.models import dense_attention
from babeldraw.models.block_attention import Blocks
from babeldraw.models.int8 import SCALES
from babeldraw.models.splash_attention import Splash
from babeldraw.parallel.gathering import kernel_gradient, weights_are_split, whole
from babeldraw.parallel.rules import Axes, Rules, with_logical_constraint

Keys = Key[Array, "batch"] | None
"""One dropout key an example, of the step, network or layer that is given it; None: no dropout."""

BY_OUTPUT = "by_output"
"""The collection of kernels stored by output feature, for sampling."""

Activation = Callable[[jax.Array], jax.Array]

BranchKeysValues = tuple[
    Float[Array, "_prompts text heads head_dim"],
    Float[Array, "_prompts text heads head_dim"],
    Bool[Array, "_prompts 1 1 text"],
]
"""Keys and values of one branch's prompts, and which of them may be attended to."""


def dropout(
    x: Float[Array, "batch *rest"], rate: float, keys: Keys, site: int
) -> Float[Array, "batch *rest"]:
    """Drops entries of `x` at `rate`; stateless, so that pipelining and sharding change nothing.

    The noise of an example depends on its own key and on `site` (which use within the layer) only.
    The key draws two words; each entry hashes its own index with them. On two CPU cores that is
    14 times faster than `jax.random.bernoulli`, and XLA fuses it into its neighbours.
    """
    if keys is None or rate == 0.0:
        return x

    def draw_words(key: jax.Array) -> jax.Array:
        return jax.random.bits(jax.random.fold_in(key, site), (2,), jnp.uint32)

    words = jax.vmap(draw_words)(keys).reshape(-1, 2, *(1,) * (x.ndim - 1))
    index = jnp.arange(math.prod(x.shape[1:]), dtype=jnp.uint32).reshape(x.shape[1:])
    noise = _hash(_hash(index + words[:, 0]) ^ words[:, 1])
    dropped = noise < jnp.uint32(round(rate * 2**32))
    return jnp.where(dropped, 0, x / (1.0 - rate)).astype(x.dtype)


def _hash(x: jax.Array) -> jax.Array:
    """A bijection of 32-bit words whose output bits each depend on all input bits.

    The constants are those of lowbias32 (C. Wellons, "Prospecting for Hash Functions", 2018).
    """
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def fold_keys(keys: Keys, index: Int[Array, ""] | int) -> Keys:
    """Each example's key, made specific to layer (or network) `index`."""
    return None if keys is None else jax.vmap(jax.random.fold_in, (0, None))(keys, index)


class Linear(nn.Module):
    """`x @ kernel + bias` over the last `len(in_axes)` dimensions of `x`.

    `features` and `out_axes` may have two entries (heads, head_dim). Leading dimensions are
    flattened first: one plain matrix product is the fastest form on every backend tried.

    Where the collection `BY_OUTPUT` holds the kernel too, as `[fan_out, fan_in]`, CPUs multiply
    that one: with 2 to 8 rows, XLA then reads it at the speed of memory, and otherwise at a half
    or a third of that. Nothing else looks at it. Where `SCALES` has one of it, the kernel is int8,
    and its product is multiplied by that.
    """

    features: tuple[int, ...]
    in_axes: tuple[str | None, ...]
    out_axes: tuple[str | None, ...]
    use_bias: bool = False
    dtype: DTypeLike = jnp.float32
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        split = x.ndim - len(self.in_axes)
        lead, in_shape = x.shape[:split], x.shape[split:]
        fan_in, fan_out = math.prod(in_shape), math.prod(self.features)

        def init(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
            matrix: jax.Array = self.kernel_init(key, (fan_in, fan_out), jnp.float32)
            return matrix.reshape(shape)

        kernel = self.param(
            "kernel",
            nn.with_logical_partitioning(init, self.in_axes + self.out_axes),
            in_shape + self.features,
        )
        flat = x.astype(self.dtype).reshape(-1, fan_in)
        if self.has_variable(BY_OUTPUT, "kernel"):
            matrix = kernel.reshape(fan_in, fan_out)
            transposed = self.get_variable(BY_OUTPUT, "kernel").astype(self.dtype)
            y: jax.Array = jax.lax.platform_dependent(
                flat, matrix, transposed, cpu=_project_by_output, default=_project_by_input
            )
        else:
            y = _project(flat, kernel, self.in_axes + self.out_axes, weights_are_split())
        if self.has_variable(SCALES, "kernel"):
            y = (y * self.get_variable(SCALES, "kernel").reshape(fan_out)).astype(self.dtype)
        y = y.reshape(*lead, *self.features)
        if self.use_bias:
            bias = self.param(
                "bias",
                nn.with_logical_partitioning(nn.initializers.zeros, self.out_axes),
                self.features,
            )
            y = (y + bias).astype(self.dtype)  # In float32, and so the bias' gradient.
        return y


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _project(
    x: Float[Array, "rows fan_in"], kernel: Num[Array, "..."], axes: Axes, rules: Rules | None
) -> Float[Array, "rows fan_out"]:
    """`x @ kernel` in the dtype of `x`, with the gradient of the float32 kernel in float32.

    Autodiff would round that gradient to the dtype of `x` before it is summed over the devices.

    Args:
      kernel: `[fan_in, fan_out]`, each in one dimension or several.
      axes: names of its dimensions.
      rules: of `weights_are_split`.
    """
    return x @ _matrix(x, kernel, axes, rules)


def _project_forward(
    x: jax.Array, kernel: jax.Array, axes: Axes, rules: Rules | None
) -> tuple[jax.Array, Any]:
    # The product itself: rematerialisation sees no product within another `_project`.
    return x @ _matrix(x, kernel, axes, rules), (x, kernel)


def _project_backward(
    axes: Axes, rules: Rules | None, saved: Any, gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    to_kernel = kernel_gradient(x, gradient, kernel, axes, rules)
    return gradient @ _matrix(x, kernel, axes, rules).T, to_kernel


def _matrix(x: jax.Array, kernel: jax.Array, axes: Axes, rules: Rules | None) -> jax.Array:
    # Gathered before it is reshaped: one array for the forward pass, recomputed or not, and this.
    return whole(kernel.astype(x.dtype), axes, rules).reshape(x.shape[1], -1)


_project.defvjp(_project_forward, _project_backward)


def _project_by_input(x: jax.Array, kernel: jax.Array, transposed: jax.Array) -> jax.Array:
    return _project(x, kernel, (), None)


def _project_by_output(x: jax.Array, kernel: jax.Array, transposed: jax.Array) -> jax.Array:
    # Without the barrier XLA turns the product around again.
    y: jax.Array = jax.lax.optimization_barrier(transposed @ x.T)
    return y.T


class Embedding(nn.Module):
    """A learned table `[num_embeddings, features]`, looked up by row.

    Gives float32, to be added up before it is rounded: so its gradient is summed in float32. Split
    over features, as the activations that it gives: each device reads its own columns.

    Entries start at `stddev`, in the order of the activations they join (T5 takes 1), so that
    tokens and positions are told apart from the first step. At 0.02 the tiny models learn slower.
    """

    num_embeddings: int
    features: int
    row_axis: str
    stddev: float = 0.5

    def setup(self) -> None:
        self.table = self.param(
            "table",
            nn.with_logical_partitioning(
                nn.initializers.normal(self.stddev), (self.row_axis, "table_embed")
            ),
            (self.num_embeddings, self.features),
        )

    def __call__(self, indices: Int[Array, "*shape"]) -> Float[Array, "*shape features"]:
        return jnp.asarray(self.table)[indices]


class GridPositions(nn.Module):
    """Learned 2-D positions: a vector a row plus a vector a column (patent, stage 2)."""

    rows: int
    columns: int
    features: int

    def setup(self) -> None:
        self.row = Embedding(self.rows, self.features, "position")
        self.column = Embedding(self.columns, self.features, "position")

    def __call__(self, raster: Int[Array, "*shape"]) -> Float[Array, "*shape features"]:
        return self.row(raster // self.columns) + self.column(raster % self.columns)


def layer_norm(name: str | None = None, use_bias: bool = True) -> nn.LayerNorm:
    """Layer norm with a scale, and a bias unless told otherwise, in float32."""
    return nn.LayerNorm(
        epsilon=1e-6,
        dtype=jnp.float32,
        use_bias=use_bias,
        scale_init=nn.with_logical_partitioning(nn.initializers.ones, ("norm",)),
        bias_init=nn.with_logical_partitioning(nn.initializers.zeros, ("norm",)),
        name=name,
    )


class Attention(nn.Module):
    """Multi-head attention over explicit keys and values, so that decoding can cache them.

    Attributes:
      qk_norm: layer norm, without a bias, of the queries and of the keys of each head: so that
        scores cannot grow without bound in training (ViT-22B, arXiv 2302.05442).
    """

    num_heads: int
    head_dim: int
    d_model: int
    use_bias: bool = False
    dtype: DTypeLike = jnp.float32
    qk_norm: bool = False

    def setup(self) -> None:
        def project() -> Linear:
            return Linear(
                (self.num_heads, self.head_dim),
                ("embed",),
                ("heads", "head_dim"),
                self.use_bias,
                self.dtype,
            )

        self.query, self.key, self.value = project(), project(), project()
        if self.qk_norm:
            self.query_norm, self.key_norm = (layer_norm(use_bias=False) for _ in range(2))
        self.output = Linear(
            (self.d_model,), ("heads", "head_dim"), ("embed",), self.use_bias, self.dtype
        )

    def keys_values(
        self, x: Float[Array, "batch length d_model"]
    ) -> tuple[
        Float[Array, "batch length heads head_dim"], Float[Array, "batch length heads head_dim"]
    ]:
        """What a cache holds of `x`."""
        axes = ("batch", "length", "activation_heads", "head_dim")
        key = self.key(x)
        if self.qk_norm:
            key = self.key_norm(key).astype(self.dtype)
        return (
            with_logical_constraint(key, axes),
            with_logical_constraint(self.value(x), axes),
        )

    def __call__(
        self,
        x: Float[Array, "batch queries d_model"],
        keys: Float[Array, "batch length heads head_dim"],
        values: Float[Array, "batch length heads head_dim"],
        mask: Bool[Array, "#batch #heads #queries length"] | Blocks | Splash | None = None,
    ) -> Float[Array, "batch queries d_model"]:
        y: jax.Array = self.output(self._attend(self._scaled_query(x), keys, values, mask))
        return y

    def over_branches(
        self,
        x: Float[Array, "rows new d_model"],
        branches: Sequence[BranchKeysValues],
    ) -> Float[Array, "rows new d_model"]:
        """Attention of each picture's branches to the text of the branch, when decoding.

        `rows` is pictures x branches, a picture's branches next to each other, so that a batch
        split over devices stays where it is. A branch has keys and values for each of its prompts,
        and the pictures of a prompt, next to each other, read them as so many more queries: they
        are neither copied nor read again.
        """
        query = self._scaled_query(x)
        rows, new, *features = query.shape
        of_branches = query.reshape(-1, len(branches), new, *features)
        attended = []
        for index, (keys, values, mask) in enumerate(branches):
            of_prompts = of_branches[:, index].reshape(keys.shape[0], -1, *features)
            branch = self._attend(of_prompts, keys, values, mask)
            attended.append(branch.reshape(-1, new, *features))
        y: jax.Array = self.output(jnp.stack(attended, axis=1).reshape(rows, new, *features))
        return y

    def _scaled_query(self, x: jax.Array) -> jax.Array:
        query = self.query(x)
        if self.qk_norm:
            query = self.query_norm(query).astype(self.dtype)
        query = query * jnp.asarray(self.head_dim**-0.5, self.dtype)
        return with_logical_constraint(query, ("batch", "length", "activation_heads", "head_dim"))

    def _attend(
        self,
        query: jax.Array,
        keys: jax.Array,
        values: jax.Array,
        mask: jax.Array | Blocks | Splash | None,
    ) -> jax.Array:
        # Heads first: plain batched products of [length, head_dim], the fastest form on CPU.
        query, keys, values = (jnp.swapaxes(x, 1, 2) for x in (query, keys, values))
        if isinstance(mask, Blocks | Splash):
            return jnp.swapaxes(mask.attend(query, keys, values), 1, 2)
        return jnp.swapaxes(dense_attention.attend(query, keys, values, mask), 1, 2)


class FeedForward(nn.Module):
    """A plain two-matrix MLP."""

    mlp_dim: int
    d_model: int
    activation: Activation
    use_bias: bool = False
    dropout_rate: float = 0.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch length d_model"], keys: Keys = None, site: int = 0
    ) -> Float[Array, "batch length d_model"]:
        x = Linear((self.mlp_dim,), ("embed",), ("mlp",), self.use_bias, self.dtype, name="wi")(x)
        x = with_logical_constraint(x, ("batch", "length", "activation_mlp"))
        x = dropout(self.activation(x), self.dropout_rate, keys, site)
        output = Linear((self.d_model,), ("mlp",), ("embed",), self.use_bias, self.dtype, name="wo")
        y: jax.Array = output(x)
        return y
