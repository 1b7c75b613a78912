"""CLIP as a scorer of pictures and texts: the user's weights, the published preprocessing."""

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, UInt8
from PIL import Image

from babeldraw.errors import UserError
from babeldraw.evaluation.scores.base import file_digest
from babeldraw.evaluation.scores.clip_text import ClipTokenizer
from babeldraw.evaluation.scores.feature_network import on_own_devices
from babeldraw.sampling.batches import FixedBatches
from babeldraw.weights.clip import ClipFiles, read_clip

MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STDDEV = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


@dataclasses.dataclass(frozen=True)
class ClipEmbedder:
    """An `Embedder` of a folder as a hub gives it; see `open_clip_folder`."""

    files: ClipFiles
    tokenizer: ClipTokenizer
    runner: FixedBatches

    @property
    def title(self) -> str:
        """Its folder's name tells several of them apart."""
        return f"CLIP {self.files.weights.parent.name}"

    @functools.cached_property
    def settings(self) -> Mapping[str, object]:
        """Hashes of both files, and what is done to the pictures."""
        return {
            "weights_sha256": file_digest(self.files.weights),
            "merges_sha256": file_digest(self.files.merges),
            "activation": "quick_gelu" if self.files.model.quick else "gelu",
            "resizing_filter": f"bicubic of Pillow, shorter side to {self.files.side} px, middle",
        }

    @property
    def batch_size(self) -> int:
        """Pictures at a time."""
        return self.runner.batch_size

    def embed_images(
        self, images: UInt8[np.ndarray, "n height width 3"]
    ) -> Float[np.ndarray, "n width"]:
        """Vectors of length 1."""
        seen = np.stack([preprocess(image, self.files.side) for image in images])
        return self.runner.in_batches(self._images, seen)

    def embed_texts(self, texts: Sequence[str]) -> Float[np.ndarray, "n width"]:
        """Vectors of length 1; a text of more tokens than the model reads is cut."""
        return self.runner.in_batches(self._texts, self.tokenizer(texts, self.files.length))

    @functools.cached_property
    def _images(self) -> Callable[[Any, Array], Array]:
        return self._program(self.files.model.embed_images)

    @functools.cached_property
    def _texts(self) -> Callable[[Any, Array], Array]:
        return self._program(self.files.model.embed_texts)

    def _program(self, tower: Callable[[Any, Array], Array]) -> Callable[[Any, Array], Array]:
        @jax.jit
        def program(params: Any, rows: Array) -> Array:
            with jax.default_matmul_precision("highest"):
                return tower(params, rows)

        return program


def open_clip_folder(folder: str | os.PathLike[str], batch_size: int = 32) -> ClipEmbedder:
    """Reads weights, settings and merges; see `weights.clip`.

    Raises:
      UserError: a file is missing, damaged, or of another network.
    """
    files = read_clip(folder)
    tokenizer = ClipTokenizer(files.merges)
    known = len(files.params["text"]["tokens"])
    if len(tokenizer) != known:
        raise UserError(
            f"{files.merges} makes {len(tokenizer)} tokens and {files.weights} has {known}: give "
            "the merges that belong to the weights."
        )
    return ClipEmbedder(files, tokenizer, on_own_devices(files.params, batch_size))


def preprocess(
    image: UInt8[np.ndarray, "height width 3"], side: int
) -> Float[np.ndarray, "side side 3"]:
    """The shorter side to `side` px by Pillow's bicubic filter, the middle of that, normalised.

    As OpenAI published it with torchvision's Resize and CenterCrop, rounding included.
    """
    height, width = image.shape[:2]
    if width <= height:
        size = side, int(side * height / width)
    else:
        size = int(side * width / height), side
    picture = Image.fromarray(image)
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    top, left = round((size[1] - side) / 2), round((size[0] - side) / 2)
    pixels = np.asarray(picture)[top : top + side, left : left + side].astype(np.float32)
    normalised: np.ndarray = (pixels / 255 - MEAN) / STDDEV
    return normalised
