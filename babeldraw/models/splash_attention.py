"""Attention by JAX's splash kernel for TPUs, whose scores never leave the chip.

`jax.experimental.pallas.ops.tpu.splash_attention` computes scores, softmax and weighted sums block
by block, forward and backward, and skips the blocks that a mask forbids altogether. This puts the
mask of a grid, padded prompts and the mesh into the terms of that kernel, which is imported where
it is used: that takes 0.6 s.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from babeldraw.models.masks import GridMask
from babeldraw.parallel.rules import Axes
from babeldraw.parallel.shards import divides, on_each_shard, platform

LANES = 128
"""Sequences are padded to a multiple of it, the narrowest block that the kernel takes."""

_WIDEST, _WIDEST_OF_WINDOW = 512, 256
"""Blocks are as wide as divide the sequence, up to these; without a grid's mask, wider where the
keys are fewer.

Wider ones are fewer steps of the kernel. Under a window they also compute more of what the mask
forbids: at 32 x 32 under 11 x 11, 33% of all scores with blocks of 128, 44% with 256, 75% with 512.
Reckoned, not timed on a TPU.
"""

_INTERPRET = False
"""Lets other platforms run the kernel, as ordinary operations. Tests set it; it is slow."""

_AXES: Axes = ("batch", "activation_heads", "length", "head_dim")


@dataclasses.dataclass(frozen=True)
class Splash:
    """The kernel, in the place of a dense mask.

    Attributes:
      visible: which keys of each example may be read, the first always among them; None: all. With
        it, this goes to the layers as any other argument that has a batch dimension.
      grid: the mask of a grid, the same for all examples; None: none.
    """

    visible: Bool[Array, "... length"] | None = None
    grid: GridMask | None = None

    def attend(
        self,
        query: Float[Array, "batch heads n d"],
        keys: Float[Array, "batch heads length d"],
        values: Float[Array, "batch heads length d"],
    ) -> Float[Array, "batch heads n d"]:
        """What dense attention under the same masks gives, in the dtype of `values`.

        Args:
          query: scaled.
        """
        from jax.experimental.pallas.ops.tpu.splash_attention import SegmentIds

        num_queries, num_keys = query.shape[2], keys.shape[2]
        query, keys, values = (_padded(x, 2) for x in (query, keys, values))
        shape = (num_queries, num_keys, query.shape[2], keys.shape[2])
        kernel = _kernel(self.grid, self.visible is None, shape, platform() != "tpu")

        def of_example(query: Array, keys: Array, values: Array, segment: Array | None) -> Array:
            ids = None
            if segment is not None:  # Keys of segment 1 may be read, and all queries are of it.
                ids = SegmentIds(jnp.ones(query.shape[1], jnp.int32), segment)
            attended: Array = kernel(query, keys, values, ids)
            return attended

        def on_shard(query: Array, keys: Array, values: Array, segments: Array | None) -> Array:
            attended: Array = jax.vmap(of_example)(query, keys, values, segments)
            return attended

        segments = None if self.visible is None else _padded(self.visible.astype(jnp.int32), 1)
        axes = (_AXES, _AXES, _AXES, ("batch", "length"))
        attended = on_each_shard(on_shard, axes, _AXES)(query, keys, values, segments)
        return attended[:, :, :num_queries].astype(values.dtype)


jax.tree_util.register_dataclass(Splash, ["visible"], ["grid"])


def runs_here() -> bool:
    """Whether the devices of the mesh can run the kernel."""
    return _INTERPRET or platform() == "tpu"


def takes(batch: int, num_heads: int) -> bool:
    """Whether every device gets the same shape, as the kernel needs it."""
    return divides((batch, num_heads), _AXES[:2])


def _padded(x: Array, axis: int) -> Array:
    padding = [(0, 0)] * x.ndim
    padding[axis] = (0, -x.shape[axis] % LANES)
    return jnp.pad(x, padding)


def _block(length: int, widest: int) -> int:
    return max(width for width in range(LANES, widest + 1, LANES) if length % width == 0)


@functools.cache
def _kernel(
    grid: GridMask | None, all_visible: bool, shape: tuple[int, int, int, int], interpret: bool
) -> Any:
    """The kernel of one example: `[heads, queries, d]`, keys and values -> `[heads, queries, d]`.

    Args:
      all_visible: whether no segments are given to it.
      shape: numbers of queries and keys, without and with padding.
      interpret: run it as ordinary operations.
    """
    from jax.experimental.pallas.ops.tpu.splash_attention import (
        splash_attention_kernel,
        splash_attention_mask,
        splash_attention_mask_info,
    )

    num_queries, num_keys, *padded = shape
    mask: Any = splash_attention_mask.FullMask((padded[0], padded[1]))
    if grid is not None or (all_visible and num_keys < padded[1]):
        allowed = np.zeros(padded, bool)
        allowed[:, 0] = True  # Queries of the padding need something to read, too.
        allowed[:num_queries, :num_keys] = True if grid is None else grid.dense
        mask = splash_attention_mask.NumpyMask(allowed)
    widest = _WIDEST if grid is None or grid.kernel_size is None else _WIDEST_OF_WINDOW
    of_keys = _block(padded[1], widest)
    of_queries = _block(padded[0], widest if grid is not None else widest**2 // of_keys)
    sizes = splash_attention_kernel.BlockSizes(
        block_q=of_queries,
        block_kv=of_keys,
        block_kv_compute=of_keys,
        block_q_dkv=of_queries,
        block_kv_dkv=of_keys,
        block_kv_dkv_compute=of_keys,
        block_q_dq=of_queries,
        block_kv_dq=of_keys,
    )
    # One mask, and so one head, for as many heads as there are. As arrays of the host: the
    # library's `make_splash_mha` would put them on the mesh, whose devices may be absent.
    masks, blocks = splash_attention_mask.MultiHeadMask([mask]), (of_queries, of_keys)
    forward, _ = splash_attention_mask_info.process_mask(masks, blocks)
    to_keys_values, _ = splash_attention_mask_info.process_mask_dkv(masks, blocks)
    return splash_attention_kernel.SplashAttentionKernel(
        forward,
        forward,  # for the gradient of the queries, which goes over the same blocks
        to_keys_values,
        block_sizes=sizes,
        is_mqa=False,
        save_residuals=False,
        mask_value=splash_attention_kernel.DEFAULT_MASK_VALUE,
        attn_logits_soft_cap=None,
        residual_checkpoint_name=None,
        mask_function=None,
        interpret=interpret,
    )
