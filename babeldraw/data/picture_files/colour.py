"""Any of Pillow's pictures as 8-bit sRGB without transparency.

An embedded ICC profile (ICC.1:2022) is applied by LittleCMS with the perceptual intent.
"""

import contextlib
import functools
import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms

SIXTEEN_BIT = 65535
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_GREYS = ("1", "L", "LA", "La")


class NoColours(ValueError):
    """Numbers that stand for no colours which we know."""


def to_rgb(
    image: Image.Image, profile: bytes | None, background: tuple[int, int, int]
) -> UInt8[np.ndarray, "height width 3"]:
    """Pixels as sRGB over `background`.

    A profile that is damaged, or of another colour space than the pixels, is ignored: CMYK then
    comes out as its plain complement. 16-bit greys are scaled to 8 bits, whatever their profile.

    Raises:
      NoColours: the pixels are floats, Lab, or greys of more than 16 bits.
    """
    if image.mode.startswith("I"):  # 16 bits, held in 16 or in 32
        values = np.asarray(image)
        if values.min() < 0 or values.max() > SIXTEEN_BIT:
            raise NoColours("its greys have more than 16 bits")
        grey = np.round(values * (255 / SIXTEEN_BIT)).astype(np.uint8)
        return np.repeat(grey[..., np.newaxis], 3, axis=-1)
    if image.mode in ("F", "LAB"):
        raise NoColours(f"its pixels have Pillow's mode {image.mode}")
    if not image.has_transparency_data:
        return np.array(_to_srgb(image, profile))
    whole = image.convert("RGBA")
    opaque = image.convert("L") if image.mode in _GREYS else whole.convert("RGB")
    colours = _to_srgb(opaque, profile)
    colours.putalpha(whole.getchannel("A"))
    canvas = Image.new("RGBA", image.size, (*background, 255))
    canvas.alpha_composite(colours)
    return np.array(canvas.convert("RGB"))


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The opaque picture in mode RGB."""
    if profile:
        with contextlib.suppress(Exception):  # of LittleCMS, on damaged profiles
            if transform := _transform(profile):
                if transform.input_mode == "RGB" and image.mode != "CMYK":
                    image = image.convert("RGB")
                elif transform.input_mode == "L" and image.mode in _GREYS:
                    image = image.convert("L")
                if image.mode == transform.input_mode:
                    converted = ImageCms.applyTransform(image, transform)
                    if converted is not None:
                        return converted
    return image.convert("RGB") if image.mode != "RGB" else image


@functools.lru_cache(maxsize=64)
def _transform(profile: bytes) -> ImageCms.ImageCmsTransform | None:
    """From a profile to sRGB; None where it is sRGB itself to within a level, or another space."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    mode = _SPACES.get(source.profile.xcolor_space.strip())
    if mode is None:
        return None
    srgb = ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(source, ImageCms.ImageCmsProfile(srgb), mode, "RGB")
    if mode == "RGB":
        levels = np.arange(0, 256, 15).astype(np.uint8)
        cube = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
        seen = ImageCms.applyTransform(Image.fromarray(cube), transform)
        if np.abs(np.asarray(seen).astype(int) - cube).max() <= 1:
            return None
    return transform
