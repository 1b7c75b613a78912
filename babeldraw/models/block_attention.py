"""Attention under the conv-shaped mask that skips most of what the mask forbids.

The grid is cut into blocks of rows x columns. The queries of a block attend to the keys of its own
rows and columns and of those around them that the window reaches: as many for each query whatever
the size of the grid, so that the cost grows with the number of tokens and not with its square.
Plain batched products, for any backend and with their own gradient.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from babeldraw.models import dense_attention
from babeldraw.models.masks import GridMask

Grid = jax.Array | np.ndarray
"""`[batch, heads, n, d]`, n in raster order."""


@dataclasses.dataclass(frozen=True)
class Blocks:
    """The conv-shaped mask without wrap of a grid, in the place of a dense mask.

    Attributes:
      opens_first: see `GridMask`; the first position is then one more key of every block.
    """

    rows: int
    columns: int
    kernel_size: int
    block_rows: int
    block_columns: int
    opens_first: bool = False

    @property
    def mask(self) -> Bool[np.ndarray, "blocks queries keys"]:
        """What the dense mask says of each block's queries and the keys around them."""
        position = np.arange(1, self.rows * self.columns + 1).reshape(1, 1, -1, 1)
        query, key = self._cut(position)[0, 0, :, :, 0], self._around(position)[0, 0, :, :, 0]
        grid = GridMask(self.rows, self.columns, self.kernel_size, opens_first=self.opens_first)
        dense = np.pad(grid.dense, ((1, 0), (1, 0)))
        if self.opens_first:  # Not twice where it stands among those around, too.
            key[:, -1] = np.where((key[:, :-1] == 1).any(1), 0, 1)
        mask: np.ndarray = dense[query[:, :, None], key[:, None, :]]
        return mask  # 0: outside, which nobody sees

    @property
    def share_of_scores(self) -> float:
        """How many scores are computed, of those of all pairs."""
        return self.mask.size / (self.rows * self.columns) ** 2

    def attend(
        self,
        query: Float[Array, "batch heads n d"],
        keys: Float[Array, "batch heads n d"],
        values: Float[Array, "batch heads n d"],
    ) -> Float[Array, "batch heads n d"]:
        """What dense attention under the same mask gives, in the dtype of `values`.

        Args:
          query: scaled.
        """
        attended = dense_attention.attend(
            self._cut(query), self._around(keys), self._around(values), jnp.asarray(self.mask)
        )
        return self._together(attended)

    def _cut(self, x: Grid) -> Any:
        """The grid as its blocks: `[batch, heads, blocks, queries, d]`."""
        return self._windows(x, (0, 0), (0, 0))

    def _around(self, x: Grid) -> Any:
        """Each block with what it may see around it, zeros outside: `[.., blocks, keys, d]`."""
        half = (self.kernel_size - 1) // 2
        around = self._windows(x, (min(half, self.rows - 1), 0), (half, half))
        if not self.opens_first:
            return around
        xp = np if isinstance(x, np.ndarray) else jnp
        first = xp.broadcast_to(x[:, :, None, :1], (*around.shape[:3], 1, around.shape[4]))
        return xp.concatenate([around, first], axis=3)

    def _windows(self, x: Grid, rows: tuple[int, int], columns: tuple[int, int]) -> Any:
        """`[batch, heads, n, d]` to `[batch, heads, blocks, positions of a window, d]`."""
        batch, heads, _, features = x.shape
        if self.block_columns == self.columns:
            columns = (0, 0)
        x = x.reshape(batch, heads, self.rows, self.columns, features)
        x = _windows(x, 2, self.block_rows, *rows)  # [.., row blocks, rows, columns, d]
        x = _windows(x, 4, self.block_columns, *columns)
        x = x.swapaxes(3, 4)  # [.., row blocks, column blocks, rows, columns, d]
        blocks = x.shape[2] * x.shape[3]
        return x.reshape(batch, heads, blocks, -1, features)

    def _together(self, x: jax.Array) -> jax.Array:
        """The inverse of `_cut`."""
        batch, heads, _, _, features = x.shape
        split = (self.rows // self.block_rows, self.columns // self.block_columns)
        x = x.reshape(batch, heads, *split, self.block_rows, self.block_columns, features)
        return x.swapaxes(3, 4).reshape(batch, heads, -1, features)


def make_blocks(rows: int, columns: int, kernel_size: int, opens_first: bool = False) -> Blocks:
    """Blocks that divide the grid: 4 whole rows of a narrow one, 8 x 8 of a wide one, at most.

    Smaller blocks compute less of what the mask forbids and copy more keys for each query; these
    were among the fastest tried on two CPU cores, at 32 x 32 and at 64 x 64 under 11 x 11.
    """

    def part(size: int, most: int) -> int:
        return max(part for part in range(1, most + 1) if size % part == 0)

    if columns <= 3 * kernel_size:
        return Blocks(rows, columns, kernel_size, part(rows, 4), columns, opens_first)
    return Blocks(rows, columns, kernel_size, part(rows, 8), part(columns, 8), opens_first)


def _windows(x: Any, axis: int, block: int, before: int, after: int) -> Any:
    """Cuts `axis` into blocks, each with its neighbours before and after: two axes in its place."""
    blocks = x.shape[axis] // block
    left, right = -(-before // block), -(-after // block)  # blocks that hold the neighbours
    xp = np if isinstance(x, np.ndarray) else jnp
    padding = [(0, 0)] * x.ndim
    padding[axis] = (left * block, right * block)
    x = xp.pad(x, padding)
    x = x.reshape(*x.shape[:axis], left + blocks + right, block, *x.shape[axis + 1 :])
    index = (slice(None),) * axis
    # A slice for each place in the window, and not one for each block: the gradient of a slice is a
    # padded array of all blocks.
    parts = [x[(*index, slice(place, place + blocks))] for place in range(left + 1 + right)]
    inner = (slice(None),) * (axis + 1)
    parts[0] = parts[0][(*inner, slice(left * block - before, None))]
    if right:
        parts[-1] = parts[-1][(*inner, slice(0, block - (right * block - after)))]
    return xp.concatenate(parts, axis=axis + 1)
