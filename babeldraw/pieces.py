"""Texts as ids of a SentencePiece model, and back, without TensorFlow.

Ids by convention: 0 pads, 1 ends a sequence, 2 is unknown.
"""

import os
import pathlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import sentencepiece
from jaxtyping import Int32

from babeldraw.errors import UserError

PAD_ID, EOS_ID, UNK_ID = 0, 1, 2


class Vocabulary(Protocol):
    """What reads and writes texts: `Pieces`, or seqio's vocabulary of the same file."""

    @property
    def vocab_size(self) -> int:
        """How many ids there are."""

    @property
    def sentencepiece_model_file(self) -> str:
        """Where it was read from."""

    def encode(self, text: str) -> Sequence[int]:
        """Ids of a text, without the one that ends it."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, up to the one that ends it."""


class Pieces:
    """A SentencePiece model: the ids that seqio's vocabulary of the same file gives."""

    def __init__(self, file: str | os.PathLike[str]) -> None:
        """Reads a SentencePiece model file.

        Raises:
          UserError: there is no such file, or it is no SentencePiece model with our special ids.
        """
        self.sentencepiece_model_file = os.fspath(file)
        if not pathlib.Path(file).is_file():
            raise UserError(f"There is no vocabulary at {file}: bring it back from a copy.")
        self._model = sentencepiece.SentencePieceProcessor()
        try:
            self._model.LoadFromSerializedProto(pathlib.Path(file).read_bytes())
        except (OSError, RuntimeError) as error:
            raise UserError(f"{file} is not a SentencePiece model: give a file that is.") from error
        ids = self._model.pad_id(), self._model.eos_id(), self._model.unk_id()
        if ids != (PAD_ID, EOS_ID, UNK_ID):
            raise UserError(
                f"The vocabulary {file} has ids {ids} for padding, end and unknown, but Babeldraw "
                "needs (0, 1, 2): train it with `babeldraw vocab`."
            )

    @property
    def vocab_size(self) -> int:
        return int(self._model.GetPieceSize())

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._model.EncodeAsIds(text)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        known = [id if id < self.vocab_size else UNK_ID for id in map(int, ids)]
        if EOS_ID in known:
            known = known[: known.index(EOS_ID) + 1]
        text: str = self._model.DecodeIds(known)
        return text


def encode(
    prompts: Sequence[str], vocabulary: Vocabulary, text_length: int
) -> Int32[np.ndarray, "prompts text_length"]:
    """Token ids as the pipeline makes them: cut to text_length - 1, end id, then padding."""
    tokens = np.full((len(prompts), text_length), PAD_ID, np.int32)
    for row, prompt in zip(tokens, prompts, strict=True):
        ids = [*vocabulary.encode(prompt)[: text_length - 1], EOS_ID]
        row[: len(ids)] = ids
    return tokens
