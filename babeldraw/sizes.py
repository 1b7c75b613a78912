"""What sizes pictures have: settings take the side of squares, or height and width, in pixels."""

from typing import Annotated

from babeldraw.ranges import Count, InWords

Size = Annotated[
    Count | tuple[Count, Count],
    InWords("pixels: a side, as 256, or height and width, as (192, 256)"),
]


def height_and_width(size: Size) -> tuple[int, int]:
    """Of pictures of this size."""
    return (size, size) if isinstance(size, int) else size


def from_sides(height: int, width: int) -> Size:
    """As settings and files have it: squares by their side alone."""
    return height if height == width else (height, width)


def in_words(size: Size) -> str:
    """Such as "32 x 32 px"; of rectangles "32 px high and 48 px wide"."""
    height, width = height_and_width(size)
    if height == width:
        return f"{width} x {height} px"
    return f"{height} px high and {width} px wide"
