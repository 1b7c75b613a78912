"""Which of the ways to compute attention a layer takes: dense, blocks or splash.

All give the same numbers but for rounding. What is chosen goes to the layers in the place of a
mask; the choice depends on the machine's setting, on the devices of the mesh, and on shapes.
"""

import functools
import logging

import jax.numpy as jnp
from jaxtyping import Array, Bool

from babeldraw.errors import UserError
from babeldraw.models import splash_attention
from babeldraw.models.block_attention import Blocks, make_blocks
from babeldraw.models.masks import GridMask
from babeldraw.models.splash_attention import Splash
from babeldraw.parallel.execution import AttentionPath
from babeldraw.parallel.shards import platform

_log = logging.getLogger(__name__)

BLOCKS_PAY = 0.6
"""Share of all scores that blocks may compute to be taken unasked.

At 16 x 16 under 11 x 11 they compute 0.56 and take half the time on two CPU cores
(`python -m benchmarks.attention_rows`).
"""


def over_grid(
    path: AttentionPath, grid: GridMask, batch: int, num_heads: int
) -> Bool[Array, "1 1 n n"] | Blocks | Splash:
    """For self-attention over image tokens under `grid`.

    Raises:
      UserError: blocks without a window that ends at the edges, or splash where it cannot run.
    """
    if _takes_splash(path, batch, num_heads, grid.rows * grid.columns):
        return Splash(grid=grid)
    if path != "dense" and grid.kernel_size is not None and not grid.wrap:
        blocks = make_blocks(grid.rows, grid.columns, grid.kernel_size, grid.opens_first)
        if path == "blocks" or blocks.share_of_scores <= BLOCKS_PAY:
            return blocks
    elif path == "blocks":
        raise UserError(
            "Attention in blocks needs a conv-shaped mask without wrap; set attention to "
            "'auto' in the machine file, or set the attention_kernel of the model."
        )
    return jnp.asarray(grid.dense)[None, None]


def over_text(
    path: AttentionPath, mask: Bool[Array, "batch 1 1 text"], num_heads: int, num_queries: int
) -> Bool[Array, "batch 1 1 text"] | Splash:
    """For attention to padded prompts, which are read as `mask` says.

    Raises:
      UserError: splash where it cannot run.
    """
    length = min(num_queries, mask.shape[-1])
    if _takes_splash(path, mask.shape[0], num_heads, length):
        return Splash(visible=mask[:, 0, 0])
    return mask


def over_all(path: AttentionPath, batch: int, num_heads: int, length: int) -> Splash | None:
    """For attention of all positions to all.

    Raises:
      UserError: splash where it cannot run.
    """
    return Splash() if _takes_splash(path, batch, num_heads, length) else None


def _takes_splash(path: AttentionPath, batch: int, num_heads: int, length: int) -> bool:
    if path not in ("auto", "splash"):
        return False
    if not splash_attention.runs_here():
        if path == "splash":
            raise UserError(
                f"The attention kernel splash runs on TPUs, and this mesh is of {platform()} "
                "devices; set attention to 'auto' in the machine file, which takes blocks under a "
                "conv-shaped mask and dense attention elsewhere."
            )
        return False
    if path == "auto" and length < splash_attention.LANES:
        return False  # Most of a block of the kernel would be padding.
    if splash_attention.takes(batch, num_heads):
        return True
    _say_once(
        f"the mesh does not divide a batch of {batch} and {num_heads} heads evenly, as the "
        "attention kernel splash needs it; it goes on without"
    )
    return False


@functools.cache
def _say_once(sentence: str) -> None:
    _log.warning("attention: %s.", sentence)
