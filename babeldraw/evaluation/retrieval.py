"""Does a sampled picture look like what was asked for, more than like anything else?

A sample is compared with every real picture there is; the nearest one says what was drawn. The
score needs no trained network, so it favours nobody's features.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int, UInt8

Pictures = UInt8[np.ndarray, "n height width 3"]


@dataclasses.dataclass(frozen=True)
class Gallery:
    """All real pictures, and what each shows: `concepts[i]` in `styles[i]`, together its cell."""

    images: Pictures
    concepts: np.ndarray
    styles: np.ndarray


def thumbnails(images: Pictures, size: int = 16) -> Float[np.ndarray, "n features"]:
    """Box averages over `size x size` cells, flattened; `size` divides height and width."""
    n, height, width, channels = images.shape
    blocks = images.reshape(n, size, height // size, size, width // size, channels)
    means: np.ndarray = blocks.astype(np.float32).mean((2, 4))
    return means.reshape(n, -1)


def nearest(samples: Pictures, gallery: Pictures) -> Int[np.ndarray, "n"]:
    """Index of the real picture at the least squared distance of 16 x 16 thumbnails."""
    x, y = thumbnails(samples), thumbnails(gallery)
    distance = np.sum(y * y, axis=1)[None] - 2 * x @ y.T
    index: np.ndarray = np.argmin(distance, axis=1)
    return index


def top1(
    samples: Pictures, prompted: Int[np.ndarray, "n"], gallery: Gallery
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """Which samples are nearest to the prompted concept, and to the prompted cell.

    Args:
      prompted: index in the gallery of the cell that each sample was asked to show.

    Returns:
      Two arrays of 0 and 1. A real picture identical to the prompted one counts as it: some art
      sets draw two concepts alike, and nobody could tell them apart.
    """
    found = nearest(samples, gallery.images)
    identical = (gallery.images[found] == gallery.images[prompted]).all((1, 2, 3))
    concepts, styles = gallery.concepts, gallery.styles
    concept = identical | (concepts[found] == concepts[prompted])
    cell = identical | (concept & (styles[found] == styles[prompted]))
    return concept.astype(float), cell.astype(float)
