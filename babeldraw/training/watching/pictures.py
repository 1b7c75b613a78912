"""Sheets of pictures as PNG files, to look at."""

import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from babeldraw import files

_SEPARATOR = 200
"""Grey level of the lines between pictures."""


def make_grid(
    images: UInt8[np.ndarray, "rows columns height width 3"], *, min_side: int = 96
) -> UInt8[np.ndarray, "sheet_height sheet_width 3"]:
    """Lays pictures out in rows and columns, with thin lines between and around them.

    Args:
      images: one row a sample, one column a version of it (such as real and reconstructed).
      min_side: pictures smaller than this are enlarged by the least whole factor that reaches
        it, each pixel becoming a square.
    """
    images = np.asarray(images)
    rows, columns, *size, _ = images.shape
    factor, line = _scale(size, min_side)
    images = images.repeat(factor, axis=2).repeat(factor, axis=3)
    height, width = (side * factor + line for side in size)
    sheet = np.full((rows * height + line, columns * width + line, 3), _SEPARATOR, np.uint8)
    for row in range(rows):
        for column in range(columns):
            top, left = row * height + line, column * width + line
            sheet[top : top + height - line, left : left + width - line] = images[row, column]
    return sheet


def cell_of(height: int, width: int, *, min_side: int = 96) -> dict[str, int]:
    """Where pictures of this size are on the sheet that `make_grid` makes of them.

    Returns:
      `height` and `width` of each as it is shown, and `line`, of the lines: that of row r and
      column c begins `line + r * (height + line)` from the top, and from the left alike.
    """
    factor, line = _scale((height, width), min_side)
    return {"height": height * factor, "width": width * factor, "line": line}


def _scale(size: Sequence[int], min_side: int) -> tuple[int, int]:
    """How many times a picture is enlarged, and the width of lines."""
    factor = max(1, -(-min_side // min(size)))
    return factor, 2 if factor > 1 else 1


def write_grid(
    path: str | os.PathLike[str],
    images: UInt8[np.ndarray, "rows columns height width 3"],
    *,
    min_side: int = 96,
) -> None:
    """Writes `make_grid` of the pictures as a PNG, making its directory where needed."""
    write_png(path, make_grid(images, min_side=min_side))


def write_png(path: str | os.PathLike[str], picture: UInt8[np.ndarray, "height width 3"]) -> None:
    """Writes one picture, making its directory where needed."""
    target = files.path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        Image.fromarray(picture).save(file, format="PNG")
