"""Batches on their way from a dataset to the step."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from babeldraw.errors import UserError
from babeldraw.objectives.base import Objective
from babeldraw.training.batches import BatchLayout, HostBatch
from babeldraw.training.watching.hooks import BatchSource


def checked(
    objective: Objective, layout: BatchLayout, batches: Iterable[HostBatch]
) -> Iterator[Mapping[str, Any]]:
    """Each batch as the step takes it.

    Raises:
      UserError: an entry is missing, or has values that the model cannot take.
    """
    for batch in batches:
        placed = layout.for_step(batch)  # First: it says what is missing.
        objective.check_batch(batch)
        yield placed


def batch_of(
    step: int, train_steps: int, batches: Iterator[Mapping[str, Any]]
) -> Mapping[str, Any]:
    """The next batch.

    Raises:
      UserError: there is none.
    """
    try:
        return next(batches)
    except StopIteration as end:
        raise UserError(
            f"The training dataset ended before step {step} of {train_steps}: make it repeat or "
            "lower train_steps."
        ) from end


def name_examples(dataset: BatchSource, layout: BatchLayout, step: int) -> str:
    """What this process's rows of a step's batch are, where the dataset can tell."""
    example_ids = getattr(dataset, "example_ids", None)
    if example_ids is None:
        return ""
    share = layout.share
    ids = example_ids(step - 1, process_index=share.index, process_count=share.count)
    return f" (its examples are {', '.join(ids)})"


def text_reader(dataset: BatchSource) -> Callable[[np.ndarray], str]:
    """What gives the text of text tokens; numbers where the dataset has no vocabulary."""
    vocabulary = getattr(dataset, "vocabulary", None)

    def read(tokens: Int[np.ndarray, " length"]) -> str:
        ids = tokens[tokens != 0].tolist()
        return " ".join(map(str, ids)) if vocabulary is None else str(vocabulary.decode(ids))

    return read


ASKED = ("text_tokens", "class_id")
"""Entries of batches that say what is to be drawn."""


def asked_reader(dataset: BatchSource) -> Callable[[Mapping[str, Any]], str | None]:
    """What says, of those of a row's `ASKED` that there are, its text or its class's name."""
    read_text = text_reader(dataset)
    class_names: Sequence[str] = getattr(dataset, "class_names", tuple)()

    def read(row: Mapping[str, Any]) -> str | None:
        if "class_id" in row:
            number = int(row["class_id"])
            return class_names[number] if number < len(class_names) else str(number)
        return read_text(row["text_tokens"]) if "text_tokens" in row else None

    return read
