"""The sheets that a run draws while it trains, cut into their pictures: model_dir/pictures/."""

import dataclasses
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from babeldraw import files
from babeldraw.evaluation.reporting.files_of_run import own_bytes
from babeldraw.evaluation.reporting.pictures import Shown

_SHEET = re.compile(r"([\w-]+)-(\d{6,12})\.png")
_MOST_PIXELS = 2**26
_MOST_COLUMNS = 12

Pixels = UInt8[np.ndarray, "height width 3"]


@dataclasses.dataclass(frozen=True)
class Sheet:
    """One file.

    Attributes:
      name: what it shows, such as "reconstructions".
      step: when it was drawn.
      shown: by split, `eval` for held out and `seen`; one entry a row.
      whole: all of it, where no file says what is where on it (older runs have none).
    """

    name: str
    step: int
    shown: Mapping[str, Sequence[Shown]]
    whole: Pixels | None = None


def steps(directory: str) -> dict[str, list[int]]:
    """Name of each kind of sheet of a run -> the steps at which it was drawn, in order."""
    found: dict[str, list[int]] = {}
    for name in files.names_in(files.path(directory) / "pictures") or []:
        match = _SHEET.fullmatch(name)
        if match:
            found.setdefault(match.group(1), []).append(int(match.group(2)))
    return {name: sorted(found[name]) for name in sorted(found)}


def read(directory: str, name: str, step: int) -> Sheet | None:
    """One of those that `steps` names; None where it is no picture, or too large a one."""
    folder = files.path(directory) / "pictures"
    try:
        sheet = _pixels(own_bytes(folder, f"{name}-{step:06d}.png") or b"")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None  # not there any more, cut short, or something else under this name
    try:
        said = json.loads(own_bytes(folder, f"{name}.json") or b"null")
        return Sheet(name, step, _cut(sheet, said))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Sheet(name, step, {}, sheet)


def _pixels(data: bytes) -> Pixels:
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        if image.width * image.height > _MOST_PIXELS:
            raise ValueError("too large")
        return np.asarray(image.convert("RGB"))


def _cut(sheet: Pixels, said: Mapping[str, Any]) -> dict[str, list[Shown]]:
    """The pictures of a sheet by split; `said` is the file beside it, see watching/looks.py.

    Raises:
      ValueError, KeyError, TypeError, AttributeError: it is of another sheet, or no such file.
    """
    height, width, line = (int(said["cell"][name]) for name in ("height", "width", "line"))
    columns = [str(label) for label in said["columns"]]
    rows = list(said["rows"])
    size = (len(rows) * (height + line) + line, len(columns) * (width + line) + line)
    if min(height, width, line) < 1 or len(columns) > _MOST_COLUMNS or sheet.shape[:2] != size:
        raise ValueError("of another sheet")
    cells = _shrunk(
        np.stack(
            [
                sheet[top + line :][:height, left + line :][:, :width]
                for top in range(0, size[0] - line, height + line)
                for left in range(0, size[1] - line, width + line)
            ]
        )
    )
    cells = cells.reshape(len(rows), len(columns), *cells.shape[1:])
    shown: dict[str, list[Shown]] = {}
    for row, pictures in zip(rows, cells, strict=True):
        each = Shown(str(row.get("prompt", "")), list(zip(columns, pictures, strict=True)))
        shown.setdefault(str(row["split"]), []).append(each)
    return shown


def _shrunk(cells: UInt8[np.ndarray, "n height width 3"]) -> UInt8[np.ndarray, "n h w 3"]:
    """Without the enlargement in squares that small pictures have on a sheet."""
    height, width = cells.shape[1:3]
    for factor in range(min(height, width) // 8, 1, -1):
        if height % factor == 0 and width % factor == 0:
            small = cells[:, ::factor, ::factor]
            if np.array_equal(small.repeat(factor, axis=1).repeat(factor, axis=2), cells):
                return small
    return cells
