"""Which tokens of a picture a region of it covers."""

from babeldraw.errors import UserError


def positions_of_box(
    box: tuple[int, int, int, int], grid: tuple[int, int], patch_size: int
) -> tuple[int, ...]:
    """Raster positions of the tokens that a box touches.

    Args:
      box: left, top, width and height in pixels.
      grid: rows and columns of tokens.
      patch_size: pixels a side of a token's patch.

    Raises:
      UserError: the box is empty or reaches out of the picture.
    """
    left, top, width, height = box
    whole = grid[0] * patch_size, grid[1] * patch_size
    inside = 0 <= left < left + width <= whole[1] and 0 <= top < top + height <= whole[0]
    if not inside:
        raise UserError(
            f"The box of {width} x {height} px at ({left}, {top}) is not inside the picture of "
            f"{whole[1]} x {whole[0]} px; give left, top, width and height in its pixels."
        )
    rows = range(top // patch_size, -(-(top + height) // patch_size))
    columns = range(left // patch_size, -(-(left + width) // patch_size))
    return tuple(row * grid[1] + column for row in rows for column in columns)
