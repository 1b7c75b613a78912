"""The vocabulary of a run's texts: kept in the run, so that it can draw wherever it is copied."""

import jax
from etils import epath

from babeldraw.errors import UserError

NAME = "vocabulary.model"
"""In the run directory: the SentencePiece model, byte for byte."""


def keep_vocabulary(directory: epath.Path, vocabulary: bytes, *, resumed: bool) -> None:
    """Process 0 writes the vocabulary; where the run goes on, all compare theirs with it.

    Args:
      vocabulary: of the training dataset.
      resumed: whether the run has been trained before; one without a kept vocabulary gets this one.

    Raises:
      UserError: the run was trained with another one, and would now read other texts.
    """
    path = directory / NAME
    if resumed and path.exists():
        if path.read_bytes() != vocabulary:
            raise UserError(
                f"The data's vocabulary is not the one that {directory} was trained with: set "
                f"BABELDRAW_VOCABULARY to {path}, or train into another --model_dir."
            )
    elif jax.process_index() == 0:
        path.write_bytes(vocabulary)
