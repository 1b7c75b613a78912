"""Pictures as square patches, in raster order: a token each."""

from einops import rearrange
from jaxtyping import Array, Float

from babeldraw.errors import UserError
from babeldraw.ranges import Count
from babeldraw.sizes import Size, height_and_width


def grid(image_size: Size, patch_size: Count) -> tuple[int, int]:
    """Rows and columns of patches.

    Raises:
      UserError: they do not fill the picture.
    """
    height, width = height_and_width(image_size)
    if height % patch_size or width % patch_size:
        raise UserError(
            f"IMAGE_SIZE {image_size} is not a multiple of PATCH_SIZE {patch_size}; change one of "
            "them."
        )
    return height // patch_size, width // patch_size


def rows(image_size: Size, patch_size: Count) -> int:
    """Of `grid`, for recipes."""
    return grid(image_size, patch_size)[0]


def columns(image_size: Size, patch_size: Count) -> int:
    """Of `grid`, for recipes."""
    return grid(image_size, patch_size)[1]


def cut(
    images: Float[Array, "batch height width channels"], patch_size: int
) -> Float[Array, "batch n patch"]:
    """Each patch as one vector."""
    patches: Float[Array, "batch n patch"] = rearrange(
        images, "b (h p) (w q) c -> b (h w) (p q c)", p=patch_size, q=patch_size
    )
    return patches
