"""Sheets of pictures with their prompts written under them."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from babeldraw import files
from babeldraw.lettering import wrap
from babeldraw.training.watching.pictures import make_grid

MIN_SIDE = 128
"""Pixels: smaller pictures are enlarged by whole numbers."""
LEAST_WIDTH = 256
"""Pixels that a caption has in a row, though its pictures be narrower."""
LINES = 4
_FONT_SIZE = 13
_MARGIN = 4


def captioned_sheet(
    images: UInt8[np.ndarray, "captions down across height width 3"],
    captions: Sequence[str],
    *,
    columns: int = 1,
    min_side: int = MIN_SIDE,
) -> UInt8[np.ndarray, "sheet_height sheet_width 3"]:
    """Lays out a grid of pictures for each caption, with the caption under it.

    The font is the one that comes with Pillow; letters that it lacks come out as boxes.

    Args:
      images: of each caption, `down` rows of `across` pictures.
      columns: captions side by side.
      min_side: pictures smaller than this are enlarged by the least whole factor that reaches it,
        each pixel becoming a square.
    """
    blocks = [make_grid(np.asarray(block), min_side=min_side) for block in images]
    height, width = blocks[0].shape[:2]
    room = max(width, LEAST_WIDTH if columns == 1 else width)
    font = ImageFont.load_default(_FONT_SIZE)
    texts = [wrap(caption, font, room - 2 * _MARGIN, LINES) for caption in captions]
    line = round(font.getbbox("Ågj")[3]) + 3
    rows = [range(first, len(blocks))[:columns] for first in range(0, len(blocks), columns)]
    deep = [line * max(len(texts[index]) for index in row) + 3 * _MARGIN for row in rows]
    size = (room * min(columns, len(blocks)), height * len(rows) + sum(deep))
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    top = 0
    for row, below in zip(rows, deep, strict=True):
        for place, index in enumerate(row):
            sheet.paste(Image.fromarray(blocks[index]), (place * room, top))
            for number, text in enumerate(texts[index]):
                corner = (place * room + _MARGIN, top + height + _MARGIN + number * line)
                draw.text(corner, text, "black", font)
        top += height + below
    return np.asarray(sheet)


def write_captioned(
    path: str | os.PathLike[str],
    images: UInt8[np.ndarray, "captions down across height width 3"],
    captions: Sequence[str],
    *,
    columns: int = 1,
    said: Mapping[str, str] | None = None,
) -> None:
    """Writes `captioned_sheet` of the pictures as a PNG, making its directory where needed.

    Args:
      said: what the file says of itself, as `Image.open(path).text` gives it.
    """
    metadata = PngInfo()
    for name, text in (said or {}).items():
        metadata.add_itxt(name, text)
    target = files.path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    sheet = Image.fromarray(captioned_sheet(images, captions, columns=columns))
    with target.open("wb") as file:
        sheet.save(file, format="PNG", pnginfo=metadata)
