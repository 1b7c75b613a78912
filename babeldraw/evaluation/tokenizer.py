"""How well a tokenizer rebuilds pictures, how much of its codebook it uses, and how fast it is."""

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from babeldraw.errors import UserError
from babeldraw.evaluation.frechet import FeatureStatistics, frechet_distance
from babeldraw.evaluation.similarity import WINDOW, ssim
from babeldraw.objectives.codebook import usage_and_perplexity
from babeldraw.objectives.perceptual import Perceptual
from babeldraw.sampling.codec import Codec
from babeldraw.sizes import height_and_width

SAMPLES = 16
"""How many pictures are kept to look at, drawn from all with a fixed seed."""


@dataclasses.dataclass(frozen=True)
class Features:
    """A network for the Frechet distance: `network(params, images in [0, 1]) -> [batch, size]`."""

    network: Callable[[Any, jax.Array], jax.Array]
    params: Any
    size: int


@dataclasses.dataclass(frozen=True)
class Results:
    """Over all pictures, each counting the same.

    Attributes:
      psnr: in dB, from the mean square error of all pictures together.
      ssim: None where pictures are smaller than its window.
      perceptual: distance of `objectives.perceptual`.
      frechet: None without features, or with fewer than two pictures.
      codebook_usage: share of the codes that occur.
      encode_images_per_second, decode_images_per_second: with the transfers to and from the
        device; compilation is left out.
      samples: input, reconstruction and their absolute difference.
    """

    images: int
    psnr: float
    ssim: float | None
    perceptual: float
    frechet: float | None
    codebook_usage: float
    perplexity: float
    encode_images_per_second: float
    decode_images_per_second: float
    samples: UInt8[np.ndarray, "rows 3 height width 3"]


def evaluate(
    codec: Codec,
    images: Iterable[UInt8[np.ndarray, "height width 3"]],
    perceptual: Perceptual,
    features: Features | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Results:
    """Sends pictures through their tokens and back, one batch of `codec` at a time.

    Args:
      images: read once, never held all together.
      on_progress: called with the number of pictures done, after each batch.

    Raises:
      UserError: there is no picture.
    """
    compare = _comparison(codec, perceptual)
    real, made = (FeatureStatistics(features.size if features else 0) for _ in range(2))
    extract = features and jax.jit(lambda params, rows: features.network(params, _as_float(rows)))
    count = 0
    sums = np.zeros(2)  # of SSIM and of the perceptual distance
    squares = 0.0
    token_counts = np.zeros(codec.model.codebook_size, np.int64)
    seconds = np.zeros(2)  # encoding, decoding
    shown = _Reservoir(SAMPLES)
    iterator = iter(images)
    while rows := list(itertools.islice(iterator, codec.batch_size)):
        batch = np.stack(rows)
        if not count:
            codec.reconstruct(batch)  # compiles
        began = time.perf_counter()
        tokens = codec.encode(batch)
        encoded = time.perf_counter()
        decoded = codec.decode(tokens)
        seconds += (encoded - began, time.perf_counter() - encoded)

        count += len(batch)
        difference = batch.astype(np.int32) - decoded
        squares += float(np.mean(np.square(difference / 255))) * len(batch)
        sums += compare(batch, decoded).sum(axis=0)
        token_counts += np.bincount(tokens.ravel(), minlength=len(token_counts))
        shown.add(np.stack([batch, decoded, np.abs(difference).astype(np.uint8)], axis=1))
        if features and extract:
            for statistics, pictures in ((real, batch), (made, decoded)):
                filled = np.resize(pictures, (codec.batch_size, *pictures.shape[1:]))
                vectors = np.asarray(extract(features.params, filled))
                statistics.add(vectors[: len(pictures)])
        if on_progress:
            on_progress(count)
    if not count:
        raise UserError("There is no picture to evaluate on; give others with --images or --task.")
    usage, perplexity = usage_and_perplexity(token_counts / token_counts.sum())
    mean_ssim, distance = sums / count
    return Results(
        images=count,
        psnr=float(-10 * np.log10(squares / count + 1e-12)),
        ssim=float(mean_ssim) if _fits_window(codec) else None,
        perceptual=float(distance),
        frechet=frechet_distance(real, made) if features and count > 1 else None,
        codebook_usage=usage,
        perplexity=perplexity,
        encode_images_per_second=count / seconds[0],
        decode_images_per_second=count / seconds[1],
        samples=np.stack(shown.rows),
    )


def _fits_window(codec: Codec) -> bool:
    """Whether SSIM has a value."""
    return min(height_and_width(codec.model.image_size)) >= WINDOW


def _comparison(
    codec: Codec, perceptual: Perceptual
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A function of two batches of uint8 pictures: SSIM and perceptual distance of each pair."""
    params = jax.device_put(perceptual.params())

    def pair(params: Any, a: jax.Array, b: jax.Array) -> jax.Array:
        a, b = _as_float(a)[np.newaxis], _as_float(b)[np.newaxis]
        similarity = ssim(a, b)[0] if _fits_window(codec) else jnp.zeros(())
        return jnp.stack([similarity, perceptual.distance(params, a, b)])

    program = jax.jit(jax.vmap(pair, in_axes=(None, 0, 0)))

    def compare(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        shape = (codec.batch_size, *a.shape[1:])
        return np.asarray(program(params, np.resize(a, shape), np.resize(b, shape)))[: len(a)]

    return compare


class _Reservoir:
    """A uniform draw of `size` rows from a stream of unknown length (algorithm R)."""

    def __init__(self, size: int) -> None:
        self._size, self._seen = size, 0
        self._rng = np.random.default_rng(0)
        self.rows: list[np.ndarray] = []

    def add(self, rows: np.ndarray) -> None:
        for row in rows:
            self._seen += 1
            if len(self.rows) < self._size:
                self.rows.append(row)
            elif (place := self._rng.integers(self._seen)) < self._size:
                self.rows[place] = row


def _as_float(images: jax.Array) -> jax.Array:
    return images.astype(jnp.float32) / 255
