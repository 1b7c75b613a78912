"""The vocabulary of a run's texts: kept in the run, so that it can draw wherever it is copied."""

import hashlib

from etils import epath

from babeldraw.errors import UserError

NAME = "vocabulary.model"
"""In the run directory: the SentencePiece model, byte for byte."""


def keep_vocabulary(directory: epath.Path, vocabulary: bytes, trained_with: str | None) -> None:
    """Writes the vocabulary into the run, where it is not there whole.

    Args:
      vocabulary: of the training dataset.
      trained_with: SHA-256 of the one that the run has been trained with; None: with none yet.

    Raises:
      UserError: the run was trained with another one, and would now read other texts.
    """
    path = directory / NAME
    if trained_with not in (None, hashlib.sha256(vocabulary).hexdigest()):
        raise UserError(
            f"The data's vocabulary is not the one that {directory} was trained with: set "
            f"BABELDRAW_VOCABULARY to {path}, or train into another --model_dir."
        )
    if not path.exists() or path.read_bytes() != vocabulary:
        path.write_bytes(vocabulary)
