"""How pictures are seen by a network: settings, and the geometry that follows from them."""

import dataclasses
import functools
import re
from collections.abc import Iterable
from typing import Any, Literal, get_args

from PIL import ImageColor

from babeldraw.errors import UserError
from babeldraw.sizes import Size, height_and_width

Fit = Literal["crop", "pad", "stretch"]

ZOOM = 9 / 8
"""As in DALL-E (arXiv 2102.12092, appendix A)."""

SIDES = (
    rb"(?i)\b(left|right|links|linke|rechts|rechte|gauche|droite?\b|izquierd|derech|sinistra"
    rb"|destra|esquerd|direit)"
)
"""What begins so says where something is: of a mirrored picture it would be wrong."""


@dataclasses.dataclass(frozen=True)
class View:
    """How pictures are seen.

    Attributes:
      fit: `crop` takes the largest part of the wanted shape, from the middle; `pad` takes the whole
        picture and fills what is left with the background; `stretch` takes the whole picture and
        changes its shape.
      background: a colour, such as white, black or #e0e0e0: under what is transparent, and what
        `pad` fills with.
      zoom: of training pictures, by how much they are enlarged at most, and a random window cut;
        of padded ones, by how much they are made smaller, so that nothing is cut. 1: not at all,
        and each is always seen the same, its middle in the middle.
      flip: whether half of the training pictures are mirrored, but for those whose captions tell
        left from right.

    Raises:
      UserError: none of the fits, no colour, or a zoom below 1.
    """

    fit: Fit = "crop"
    background: str = "white"
    zoom: float = ZOOM
    flip: bool = False

    def __post_init__(self) -> None:
        if self.fit not in get_args(Fit):
            raise UserError(f"FIT is {self.fit!r}: set it to {', '.join(get_args(Fit))}.")
        if not self.zoom >= 1:
            raise UserError(f"ZOOM is {self.zoom}: set it to 1 (off) or more, such as {ZOOM}.")
        _ = self.colour

    @functools.cached_property
    def colour(self) -> tuple[int, int, int]:
        """RGB of the background."""
        try:
            red, green, blue = ImageColor.getcolor(self.background, "RGB")  # type: ignore[misc]
        except (ValueError, AttributeError) as error:
            raise UserError(
                f"BACKGROUND is {self.background!r}: set it to a colour, such as white, black or "
                "#e0e0e0."
            ) from error
        return red, green, blue

    @property
    def of_pictures(self) -> dict[str, str]:
        """What decides which pictures are seen, whatever is drawn in training."""
        return {"fit": self.fit, "background": self.background}


PLAIN = View()
"""The published one: square crops near the centre."""


SPARE = 2
"""A picture is decoded no smaller than so many times what it is resized to: what it then looks like
is less than a level off on average (docs/own_pictures.md)."""


@dataclasses.dataclass(frozen=True)
class Needed:
    """How large a picture has to be decoded; the same for training and evaluation.

    Attributes:
      rows, columns: what it has to have, the whole of it where it is padded, else its part.
      whole: whether the whole is seen within them.
    """

    rows: int
    columns: int
    whole: bool

    @classmethod
    def by(cls, size: Size, view: View = PLAIN) -> "Needed":
        """By what shows it in `size` pixels as `view` says."""
        zoom = 1 if view.fit == "pad" else max(view.zoom, ZOOM)
        rows, columns = (round(SPARE * zoom * side) for side in height_and_width(size))
        return cls(rows, columns, view.fit == "pad")

    def reduction(self, height: int, width: int) -> int:
        """By how much a picture of this shape may come smaller, whichever way up: 1, 2, 4 or 8."""
        return min(self._upright(height, width), self._upright(width, height))

    def _upright(self, height: int, width: int) -> int:
        times = height / self.rows, width / self.columns
        left = max(times) if self.whole else min(times)
        return max(step for step in (1, 2, 4, 8) if step <= max(left, 1))


def tells_sides(captions: Iterable[bytes]) -> bool:
    """Whether one of the captions, as bytes, tells left from right."""
    return any(re.search(SIDES, caption) for caption in captions)


# The geometry of both: `xp` is numpy or TensorFlow, whose names agree here. Whole numbers alone, so
# that no rounding tells them apart; of 64 bits, as products of two sides need them.


def largest_part(height: Any, width: Any, size: tuple[int, int], xp: Any) -> tuple[Any, Any]:
    """Height and width of the largest part that has the shape of `size`."""
    rows, columns = size
    return (
        xp.minimum(height, xp.maximum(width * rows // columns, 1)),
        xp.minimum(width, xp.maximum(height * columns // rows, 1)),
    )


def whole(height: Any, width: Any, size: tuple[Any, Any], xp: Any) -> tuple[Any, Any]:
    """Height and width of the whole, its shape kept, as large as `size` has room."""
    rows, columns = size
    return (
        xp.minimum(rows, xp.maximum((2 * height * columns + width) // (2 * width), 1)),
        xp.minimum(columns, xp.maximum((2 * width * rows + height) // (2 * height), 1)),
    )


def in_shape(height: Any, size: tuple[int, int]) -> tuple[Any, Any]:
    """Height and width in the shape of `size`."""
    rows, columns = size
    return height, (2 * height * columns + rows) // (2 * rows)


def largest_height(height: Any, rows: int, view: View, xp: Any) -> Any:
    """The most of it to which a part of a training picture is resized."""
    return xp.maximum(xp.minimum(height, round(view.zoom * rows)), rows)


def smallest_height(rows: int, view: View) -> int:
    """The least of the room that a padded training picture gets."""
    return max(1, round(rows / view.zoom))


def near_middle(margin: Any, xp: Any) -> tuple[Any, Any]:
    """The least offset, and the one after the last."""
    low = 3 * margin // 8
    return low, xp.maximum(low + 1, 5 * margin // 8)
