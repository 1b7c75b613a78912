"""Pictures as requests bring and answers carry them: base64 of files."""

import base64
import binascii
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, PngImagePlugin

from babeldraw.data.picture_files.framing import frame
from babeldraw.data.picture_files.images import UnreadableImage, decode_image
from babeldraw.data.picture_files.view import View
from babeldraw.serving.refusals import Refusal
from babeldraw.sizes import Size

MAX_PIXELS = 2**24
"""Of a picture that a request brings."""

NAME = "the picture"


def from_base64(text: str, param: str) -> bytes:
    """The bytes of a field.

    Raises:
      Refusal: it is no base64.
    """
    data = text.partition(",")[2] if text.startswith("data:image/") else text
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(
            400,
            f"{param} holds what is no base64; encode the bytes of a picture file.",
            param=param,
        ) from None


def read(
    data: bytes, size: Size, view: View, param: str, background: tuple[int, int, int] | None = None
) -> UInt8[np.ndarray, "rows columns 3"]:
    """A picture file as the model's tokenizer reads it.

    Args:
      background: RGB that shows through where the picture is transparent; None: the view's.

    Raises:
      Refusal: it is no picture, damaged or too large.
    """
    whole = decode(data, view.colour if background is None else background, param)
    return frame(whole, size, view)


def decode(
    data: bytes, background: tuple[int, int, int], param: str
) -> UInt8[np.ndarray, "rows columns 3"]:
    """A picture file as it is.

    Raises:
      Refusal: as `read`.
    """
    try:
        _check_size(data)
        return decode_image(io.BytesIO(data), NAME, background=background)
    except UnreadableImage as error:
        raise Refusal(400, str(error), code="invalid_image", param=param) from None


def transparent(
    data: bytes, size: Size, view: View, param: str
) -> Bool[np.ndarray, "rows columns"]:
    """Where a picture is more transparent than not.

    Raises:
      Refusal: as `read`.
    """
    # Without a view's means: what shows through is what differs between two grounds.
    white, black = (read(data, size, view, param, (shade,) * 3) for shade in (255, 0))
    shown: np.ndarray = (white.astype(int) - black).mean(axis=-1) > 127
    return shown


def _check_size(data: bytes) -> None:
    """Raises an `UnreadableImage` by the size that the head of the file tells."""
    try:
        with Image.open(io.BytesIO(data)) as opened:
            width, height = opened.size
    except Exception:  # what it is, `decode_image` says better
        return
    if width * height > MAX_PIXELS:
        reason = f"it has {width} x {height} pixels, and the limit is {MAX_PIXELS:,}"
        raise UnreadableImage(NAME, "too large", reason)


def to_png(
    image: UInt8[np.ndarray, "height width channels"], said: Mapping[str, Any] | None = None
) -> str:
    """Base64 of a PNG.

    Args:
      said: what the file says of itself.
    """
    info = PngImagePlugin.PngInfo()
    for name, value in (said or {}).items():
        info.add_itxt(name, value if isinstance(value, str) else json.dumps(value))
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", pnginfo=info)
    return base64.b64encode(file.getvalue()).decode()


def so_far(
    image: UInt8[np.ndarray, "height width 3"], drawn: Bool[np.ndarray, "n"], columns: int
) -> UInt8[np.ndarray, "height width 4"]:
    """A picture that is transparent where no token is drawn yet."""
    grid = drawn.reshape(-1, columns)
    side = image.shape[0] // grid.shape[0]
    alpha = np.kron(grid, np.ones((side, side), bool)).astype(np.uint8) * 255
    return np.concatenate([image, alpha[..., None]], axis=-1)
