"""What the judges see of a picture: where which colours are, and how much there is of each.

No network is asked: on pictures of 32 px these features know more of skin tones and genders than
EfficientNet-Lite0's (`python -m benchmarks.emoji_checks --network`).
"""

import itertools

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageFilter

from babeldraw.errors import UserError
from babeldraw.evaluation.retrieval import thumbnails
from babeldraw.sizes import in_words

Pictures = UInt8[np.ndarray, "n height width 3"]
Looks = Float[np.ndarray, "n features"]

SIDE = 32
"""Pixels a side at which pictures are looked at; others are brought there by Pillow's BOX."""
COLOURS = 8
"""Steps of red, of green and of blue, between which a pixel is shared."""
BLUR = 0.7
NOISE = 12
"""Radius in pixels, and standard deviation in levels of 255, of what `worse` makes."""


def look(images: Pictures) -> Looks:
    """All pixels at 32 px, and square roots of the shares of 8 x 8 x 8 colours.

    Each of the two parts is divided by a constant, near its standard deviation over real pictures.

    Raises:
      UserError: the pictures are not square.
    """
    small = at_side(images)
    return np.concatenate([thumbnails(small, SIDE) / 255 / 0.35, _colours(small) / 0.04], axis=1)


def at_side(images: Pictures) -> Pictures:
    """Brought to 32 x 32 px, each pixel the mean of what it covers."""
    height, width = images.shape[1:3]
    if height != width:
        raise UserError(
            f"the emoji checks look at square pictures, and these are {in_words((height, width))}: "
            "draw with a model of emoji."
        )
    if height == SIDE:
        return images
    size = (SIDE, SIDE)
    return np.stack(
        [np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX)) for image in images]
    )


def worse(images: Pictures) -> list[Pictures]:
    """The pictures blurred, and with noise: what a tokenizer makes of them is like that."""
    noise = np.random.default_rng(0).normal(0, NOISE, images.shape)
    noisy = np.clip(np.round(images + noise), 0, 255).astype(np.uint8)
    return [blurred(images, BLUR), noisy]


def blurred(images: Pictures, radius: float) -> Pictures:
    """By a Gaussian; `radius` is its standard deviation in pixels."""
    kernel = ImageFilter.GaussianBlur(radius)
    return np.stack([np.asarray(Image.fromarray(image).filter(kernel)) for image in images])


def _colours(images: Pictures) -> Looks:
    """Square roots of the shares of each colour; a pixel counts for the eight around its own."""
    count, pixels = len(images), images.shape[1] * images.shape[2]
    place = images.reshape(count, pixels, 3).astype(np.float32) / 255 * (COLOURS - 1)
    below = np.minimum(place.astype(np.int64), COLOURS - 2)
    above = place - below
    shares = np.zeros((count, COLOURS**3))
    rows = np.repeat(np.arange(count) * COLOURS**3, pixels)
    for corner in itertools.product((0, 1), repeat=3):
        weight = np.prod(np.where(corner, above, 1 - above), axis=2)
        red, green, blue = np.moveaxis(below + np.array(corner), 2, 0)
        index = rows + ((red * COLOURS + green) * COLOURS + blue).ravel()
        shares += np.bincount(index, weight.ravel(), count * COLOURS**3).reshape(shares.shape)
    root: np.ndarray = np.sqrt(shares / pixels)
    return root
