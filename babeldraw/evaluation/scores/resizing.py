"""Pictures for InceptionV3: three ways to 299 px, as the three evaluators in use have them.

They differ by tenths to tens of a FID (arXiv 2104.11222): a FID without its filter says little.
"""

import functools
from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from babeldraw.errors import UserError
from babeldraw.models.inception import SIDE

Resizing = Literal["torch-fidelity", "pytorch-fid", "clean-fid"]

DESCRIPTIONS: Mapping[str, str] = {
    "torch-fidelity": "bilinear as in TensorFlow 1: not antialiased, first pixels aligned",
    "pytorch-fid": "bilinear as PyTorch's interpolate: not antialiased, pixel centres aligned",
    "clean-fid": "bicubic as Pillow's on floats: antialiased, pixel centres aligned",
}


def check_resizing(resizing: str) -> None:
    """Raises a `UserError` if it is none of them."""
    if resizing not in get_args(Resizing):
        raise UserError(
            f"The resizing {resizing!r} is unknown; give one of {', '.join(get_args(Resizing))}."
        )


def for_inception(
    pictures: UInt8[np.ndarray, "batch height width 3"], resizing: Resizing
) -> Float[np.ndarray, "batch 299 299 3"]:
    """Resized on the host, and brought to the range that the network reads, about [-1, 1].

    Raises:
      UserError: there is no such resizing.
    """
    check_resizing(resizing)
    if resizing == "clean-fid":
        resized = np.stack([_bicubic(picture) for picture in pictures])
    else:
        rows, columns = (_bilinear(side, resizing) for side in pictures.shape[1:3])
        resized = np.stack([_separably(picture, rows, columns) for picture in pictures])
    if resizing == "pytorch-fid":
        return 2 * (resized / np.float32(255)) - 1
    return (resized - 128) / np.float32(128)


def _separably(picture: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    height, width, channels = picture.shape
    tall = rows @ picture.reshape(height, width * channels).astype(np.float32)
    resized: np.ndarray = columns @ tall.reshape(SIDE, width, channels)
    return resized


@functools.lru_cache(maxsize=64)
def _bilinear(side: int, resizing: str) -> Float[np.ndarray, "299 side"]:
    """Weights of the pixels of an axis: each wanted pixel is between two of them."""
    scale = np.float32(side) / np.float32(SIDE)
    wanted = np.arange(SIDE, dtype=np.float32)
    if resizing == "torch-fidelity":
        places = wanted * scale
    else:
        places = np.maximum((wanted + np.float32(0.5)) * scale - np.float32(0.5), 0)
    low = np.minimum(np.floor(places).astype(np.int64), side - 1)
    high = np.minimum(low + 1, side - 1)
    share = places - low
    weights = np.zeros((SIDE, side), np.float32)
    np.add.at(weights, (np.arange(SIDE), low), 1 - share)
    np.add.at(weights, (np.arange(SIDE), high), share)
    return weights


def _bicubic(picture: UInt8[np.ndarray, "height width 3"]) -> Float[np.ndarray, "299 299 3"]:
    """Each channel by itself, and cut to [0, 255] rather than rounded."""
    channels = []
    for index in range(3):
        channel = Image.fromarray(picture[:, :, index].astype(np.float32))
        resized = channel.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        channels.append(np.asarray(resized).clip(0, 255))
    return np.stack(channels, axis=-1)
