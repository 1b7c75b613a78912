"""The emoji set on disk: ``cells.csv`` and lossless WebP sheets, a few a style.

A sheet is at most SHEET_SIDE px wide and high (one sheet a style at 32 px). Cell i of a style, in
the order of ``cells.csv``, is the i-th picture of ``STYLE_SIZE_00.webp``, ``STYLE_SIZE_01.webp``
and so on, in raster order. ``cells.csv`` is plain text: it can be read and compared.
"""

import csv
import dataclasses
import io
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from babeldraw.data.sets.emoji_grid import STYLES, Cell
from babeldraw.errors import UserError
from babeldraw.files import cache_dir

SHEET_SIDE = 2048  # pixels; keeps the encoder fast and within WebP's limit of 16383
SHIPPED_SIZE = 32
SHIPPED = pathlib.Path(__file__).parents[1] / "assets" / "emoji"
CELLS_FILE = "cells.csv"

_FIELDS = [field.name for field in dataclasses.fields(Cell)]
_INTEGERS = ("role_index", "gender", "tone")


def sheet_name(style: str, size: int, index: int) -> str:
    """File name of a sheet."""
    return f"{style}_{size}_{index:02d}.webp"


def find_folder(size: int) -> pathlib.Path:
    """Folder with the sheets at `size` px: the shipped one, or one built before.

    Raises:
      UserError: neither exists.
    """
    if size == SHIPPED_SIZE:
        return SHIPPED
    built = cache_dir() / "emoji" / str(size)
    if not (built / CELLS_FILE).exists():
        raise UserError(
            f"The emoji set at {size} px is not built yet: run "
            f"`babeldraw data build emoji --size {size}` first."
        )
    return built


def write_cells(folder: pathlib.Path, cells: Sequence[Cell]) -> None:
    """Writes ``cells.csv``."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(dataclasses.asdict(cell) for cell in cells)
    (folder / CELLS_FILE).write_bytes(text.getvalue().encode())


def read_cells(folder: pathlib.Path) -> list[Cell]:
    """Reads ``cells.csv``."""
    cells = []
    with open(folder / CELLS_FILE, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            values: dict[str, Any] = {**row, **{key: int(row[key]) for key in _INTEGERS}}
            cells.append(Cell(**values))
    return cells


def encode_sheet(images: UInt8[np.ndarray, "n size size 3"]) -> bytes:
    """Lays at most (SHEET_SIDE // size)^2 pictures out in rows and encodes them losslessly."""
    count, size = images.shape[:2]
    columns = SHEET_SIDE // size
    rows = -(-count // columns)
    grid = np.full((rows * columns, size, size, 3), 255, np.uint8)
    grid[:count] = images
    grid = grid.reshape(rows, columns, size, size, 3).swapaxes(1, 2)
    out = io.BytesIO()
    sheet = Image.fromarray(grid.reshape(rows * size, columns * size, 3))
    # Lossless: effort makes the shipped sheets smaller, and others only slower to write.
    effort = {"quality": 100, "method": 6} if size == SHIPPED_SIZE else {"quality": 0, "method": 0}
    sheet.save(out, "WEBP", lossless=True, **effort)
    return out.getvalue()


def decode_sheet(path: pathlib.Path, size: int) -> UInt8[np.ndarray, "n size size 3"]:
    """The inverse of `encode_sheet`, with the blank cells at the end."""
    with Image.open(path) as image:
        sheet = np.asarray(image.convert("RGB"))
    rows, columns = sheet.shape[0] // size, sheet.shape[1] // size
    grid = sheet.reshape(rows, size, columns, size, 3).swapaxes(1, 2)
    return grid.reshape(-1, size, size, 3)


def write_images(
    folder: pathlib.Path, style: str, images: UInt8[np.ndarray, "n size size 3"]
) -> None:
    """Writes the sheets of one style."""
    size = images.shape[1]
    per_sheet = (SHEET_SIDE // size) ** 2
    for index, start in enumerate(range(0, len(images), per_sheet)):
        sheet = encode_sheet(images[start : start + per_sheet])
        (folder / sheet_name(style, size, index)).write_bytes(sheet)


def read_images(
    folder: pathlib.Path, size: int, cells: Sequence[Cell]
) -> UInt8[np.ndarray, "n size size 3"]:
    """Pictures of all cells of ``cells.csv``, in their order.

    Raises:
      UserError: a sheet is missing.
    """
    images = []
    per_sheet = (SHEET_SIDE // size) ** 2
    for style in STYLES:
        count = sum(cell.style == style for cell in cells)
        paths = [folder / sheet_name(style, size, k) for k in range(-(-count // per_sheet))]
        missing = [str(path) for path in paths if not path.exists()]
        if missing:
            raise UserError(
                f"The emoji sheet {missing[0]} is missing: run "
                f"`babeldraw data build emoji --size {size} --output {folder}` to make it again."
            )
        images.append(np.concatenate([decode_sheet(path, size) for path in paths])[:count])
    return np.concatenate(images)
