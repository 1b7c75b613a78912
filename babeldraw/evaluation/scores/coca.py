"""A CoCa run of ours as a scorer: an `Embedder` for `TextMatch`, and what it reads pictures by."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from babeldraw.data.picture_files.framing import frame
from babeldraw.data.picture_files.view import PLAIN, View
from babeldraw.pieces import encode
from babeldraw.sampling.rerank import Reranker
from babeldraw.sizes import Size, height_and_width

if TYPE_CHECKING:
    from seqio import SentencePieceVocabulary


@dataclasses.dataclass(frozen=True)
class CocaEmbedder:
    """Pictures and texts as the run was trained on them.

    Attributes:
      reranker: of an opened run, as its `reranker` method gives it.
      vocabulary, view: of the same run.
      identity: what a report calls the run by, such as its directory and step.
    """

    reranker: Reranker
    vocabulary: "SentencePieceVocabulary"
    identity: Mapping[str, object]
    view: View = PLAIN

    @property
    def title(self) -> str:
        """As reports call it."""
        return f"CoCa {self.identity.get('checkpoint', '')}".strip()

    @property
    def settings(self) -> Mapping[str, object]:
        """The run, and what is done to pictures of another size than it was trained on."""
        size = "x".join(map(str, height_and_width(self.reranker.model.image_size)))
        return {"network": "CoCa", **self.identity, "resizing": f"{self.view.fit} to {size} px"}

    @property
    def batch_size(self) -> int:
        """Pictures at a time."""
        return self.reranker.batch_size

    def embed_images(
        self, images: UInt8[np.ndarray, "n height width 3"]
    ) -> Float[np.ndarray, "n width"]:
        """Vectors of length 1."""
        seen = framed(images, self.reranker.model.image_size, self.view)
        return self.reranker.embed_images(seen)

    def embed_texts(self, texts: Sequence[str]) -> Float[np.ndarray, "n width"]:
        """Vectors of length 1; a text of more tokens than the model reads is cut."""
        tokens = encode(texts, self.vocabulary, self.reranker.model.text_length)
        return self.reranker.embed_texts(tokens)


def framed(
    images: UInt8[np.ndarray, "n height width 3"], size: Size, view: View
) -> UInt8[np.ndarray, "n rows columns 3"]:
    """As in evaluation on the seqio tasks; those that have the size stay as they are."""
    if images.shape[1:3] == height_and_width(size):
        return images
    return np.stack([frame(image, size, view) for image in images])
