"""Which image positions a decoder query may attend to."""

import dataclasses

import numpy as np
from jaxtyping import Bool

from babeldraw.errors import UserError


def causal_mask(rows: int, columns: int) -> Bool[np.ndarray, "n n"]:
    """Every earlier position in raster order and the query's own; `n = rows * columns`."""
    return np.tril(np.ones((rows * columns, rows * columns), bool))


def conv_mask(
    rows: int, columns: int, kernel_size: int, wrap: bool = False
) -> Bool[np.ndarray, "n n"]:
    """The conv-shaped causal window of every query, `mask[query, key]`, in raster order.

    With `h = (kernel_size - 1) / 2`, query `(r, c)` sees key `(r', c')` iff
    `r - h <= r' <= r`, `|c' - c| <= h` and `raster(r', c') <= raster(r, c)`.
    The patent names the mask and gives no kernel; 11 is DALL-E's (arXiv 2102.12092).

    Args:
      wrap: let the window run on over the left and right edge into the neighbouring row, as a
        mask over raster offsets does (DALL-E's); the wavefront schedule needs `wrap=False`.
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise UserError(
            f"attention_kernel must be odd and positive, not {kernel_size}; use 3, 5 or 11."
        )
    half = (kernel_size - 1) // 2
    raster = np.arange(rows * columns)
    row, column = np.divmod(raster, columns)
    behind = raster[None, :] <= raster[:, None]
    if wrap:
        offsets = [r * columns + c for r in range(half + 1) for c in range(-half, half + 1)]
        return behind & np.isin(raster[:, None] - raster[None, :], offsets)
    near_row = row[:, None] - row[None, :] <= half
    near_column = np.abs(column[:, None] - column[None, :]) <= half
    mask: np.ndarray = behind & near_row & near_column
    return mask


def attention_mask(
    rows: int, columns: int, kernel_size: int | None, wrap: bool = False
) -> Bool[np.ndarray, "n n"]:
    """`conv_mask`, or `causal_mask` where `kernel_size` is None."""
    if kernel_size is None:
        return causal_mask(rows, columns)
    return conv_mask(rows, columns, kernel_size, wrap)


@dataclasses.dataclass(frozen=True)
class GridMask:
    """What `attention_mask` takes, as one value that can be compared and hashed.

    Attributes:
      opens_first: let every query see the first position, too: it may hold what all of them need.
    """

    rows: int
    columns: int
    kernel_size: int | None
    wrap: bool = False
    opens_first: bool = False

    @property
    def dense(self) -> Bool[np.ndarray, "n n"]:
        """`mask[query, key]`."""
        mask = attention_mask(self.rows, self.columns, self.kernel_size, self.wrap)
        mask[:, 0] |= self.opens_first
        return mask
