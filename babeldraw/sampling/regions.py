"""Which tokens of a picture a region of it covers."""

from babeldraw.errors import UserError


def positions_of_box(box: tuple[int, int, int, int], grid: int, patch_size: int) -> tuple[int, ...]:
    """Raster positions of the tokens that a box touches.

    Args:
      box: left, top, width and height in pixels.
      grid: tokens a row, and rows a picture.
      patch_size: pixels a side of a token's patch.

    Raises:
      UserError: the box is empty or reaches out of the picture.
    """
    left, top, width, height = box
    side = grid * patch_size
    if width < 1 or height < 1 or left < 0 or top < 0 or max(left + width, top + height) > side:
        raise UserError(
            f"The box of {width} x {height} px at ({left}, {top}) is not inside the picture of "
            f"{side} x {side} px; give left, top, width and height in its pixels."
        )
    rows = range(top // patch_size, -(-(top + height) // patch_size))
    columns = range(left // patch_size, -(-(left + width) // patch_size))
    return tuple(row * grid + column for row in rows for column in columns)
