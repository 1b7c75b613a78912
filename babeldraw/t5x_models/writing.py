"""What `t5x/infer.py` writes of each text."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from babeldraw import files


def write_lines(
    path: str,
    inferences: tuple[Sequence[Any], Mapping[str, Any]],
    task_ds: Any,
    mode: str,
    vocabulary: Any = None,
) -> None:
    """A line of JSON an example: `caption`, and its `tokens` or, in mode score, its `score`.

    Args:
      inferences: of each example the tokens drawn, or its log-probability in nats.
      task_ds: the examples, which have `text`.
      vocabulary: of the texts.
    """
    made, _ = inferences
    name = "score" if mode == "score" else "tokens"
    examples: Iterable[Mapping[str, Any]] = task_ds.as_numpy_iterator()
    lines = [
        json.dumps({"caption": vocabulary.decode(_ids(example)), name: np.asarray(one).tolist()})
        for example, one in zip(examples, made, strict=False)  # Of the last chunk there are fewer.
    ]
    files.path(path).write_text("".join(f"{line}\n" for line in lines))


def _ids(example: Mapping[str, Any]) -> list[int]:
    return [int(piece) for piece in example["text"]]
