"""What a picture shows and where, against its ground: by that a fit is recommended."""

import dataclasses
import statistics
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from babeldraw.data.picture_files import view
from babeldraw.data.picture_files.view import PLAIN, Fit
from babeldraw.sizes import Size, height_and_width

LOOKED_AT = 256
"""Pixels of the longer side: of larger pictures every second pixel is taken, or third, ..."""

PLAIN_BORDER = 0.75
"""Of the border, as much is of one colour where a picture has a plain ground."""

SAME, OTHER = 16, 24
"""Levels, of 255, of the channel that differs most: one colour up to here; no ground from here."""

MUCH = 0.1
"""Of what a picture shows: so much lost is a fault."""

FEW = 0.05
"""Of the pictures: so many may have it."""

FRAME = 1 / 3
"""Of pictures that fill their frames, as much may be cut on average."""


@dataclasses.dataclass(frozen=True)
class Content:
    """What `measure` found of a picture.

    Attributes:
      name: of the picture.
      ground: RGB of what surrounds the content; None: the content fills the frame.
      shown: its share of the pixels.
      lost: what a crop in the middle cuts of it, as a share.
    """

    name: str
    ground: tuple[int, int, int] | None
    shown: float
    lost: float


def measure(image: UInt8[np.ndarray, "height width 3"], name: str, size: Size = 1) -> Content:
    """Finds the content of a picture and what a crop to the shape of `size` would cut of it."""
    step = -(-max(image.shape[:2]) // LOOKED_AT)
    image = image[::step, ::step]
    ground = _ground(image)
    content = np.ones(image.shape[:2], bool)
    if ground is not None:
        content = _difference(image, np.array(ground)) >= OTHER
    height, width = image.shape[:2]
    box = np.stack(view.largest_part(height, width, height_and_width(size), np))
    top, left = (np.array([height, width]) - box) // 2
    kept = content[top : top + box[0], left : left + box[1]].sum()
    lost = 1 - float(kept / content.sum()) if content.any() else 0.0
    return Content(name, ground, float(content.mean()), lost)


def _ground(image: np.ndarray) -> tuple[int, int, int] | None:
    width = max(1, min(image.shape[:2]) // 50)
    sides = [image[:width], image[-width:], image[:, :width], image[:, -width:]]
    border = np.concatenate([side.reshape(-1, 3) for side in sides])
    middle = np.median(border, axis=0).astype(np.uint8)
    if (_difference(border, middle) <= SAME).mean() < PLAIN_BORDER:
        return None
    red, green, blue = middle.tolist()
    return red, green, blue


def _difference(image: np.ndarray, colour: np.ndarray) -> np.ndarray:
    difference: np.ndarray = np.abs(image.astype(np.int16) - colour).max(-1)
    return difference


@dataclasses.dataclass(frozen=True)
class Advice:
    """Which FIT and BACKGROUND to set, and why, in one sentence."""

    fit: Fit
    background: str
    reason: str


def recommended_fit(contents: Sequence[Content]) -> Advice:
    """What suits most of the pictures: a crop, or the whole of each.

    A crop, unless it cuts more than `MUCH` of what more than `FEW` of the pictures show. Those that
    fill their frames, as photographs do, are cropped all the same, unless it cuts more than `FRAME`
    of them on average: of padded ones the network learns the bars as well.
    """
    losing = [content for content in contents if content.lost > MUCH]
    if len(losing) <= FEW * len(contents):
        which = f"all but {len(losing)} of {len(contents)} pictures show" if losing else "any shows"
        return _crop(f"a centre crop cuts at most {MUCH:.0%} of what {which}")
    background = _common_ground(contents)
    cut = f"a centre crop would cut more than {MUCH:.0%} of what {len(losing)} of {len(contents)} "
    average = statistics.fmean(content.lost for content in losing)
    if sum(content.ground is not None for content in losing) >= len(losing) / 2:
        return Advice(
            "pad",
            background,
            f"{cut}pictures show, and most of these have a plain ground, which goes on into what "
            "is added",
        )
    if average > FRAME:
        return Advice(
            "pad", background, f"{cut}pictures show, {average:.0%} of it on average of these"
        )
    return _crop(
        f"{cut}pictures show, {average:.0%} on average of these, but they fill their frames, and "
        "of padded ones the bars are learned as well"
    )


def _crop(reason: str) -> Advice:
    return Advice("crop", PLAIN.background, reason)


def _common_ground(contents: Sequence[Content]) -> str:
    """The colour of most plain grounds, where they agree; else the default."""
    grounds = np.array([content.ground for content in contents if content.ground is not None])
    if not len(grounds):
        return PLAIN.background
    middle = np.median(grounds, axis=0)
    near = _difference(grounds, middle) <= SAME
    if near.mean() <= 0.5:
        return PLAIN.background
    red, green, blue = (round(level) for level in np.median(grounds[near], axis=0))
    named = {(255, 255, 255): "white", (0, 0, 0): "black"}
    return named.get((red, green, blue), f"#{red:02x}{green:02x}{blue:02x}")
