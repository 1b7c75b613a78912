"""The real pictures of the prompts that a model knows, to be looked at beside what it draws."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from babeldraw.cli.support.runs import Run
from babeldraw.data import raw, tasks
from babeldraw.sizes import Size
from babeldraw.training.keeping.prompts import in_one_line

LOOKED_AT = 5000
"""Pictures of a split: one that comes later is not found."""

Image = UInt8[np.ndarray, "height width 3"]


def real_pictures(run: Run, prompts: Sequence[str], size: Size) -> dict[str, Image]:
    """The first picture of each caption among the run's training or evaluation data, as it saw it.

    Args:
      prompts: captions, as the run keeps them.
      size: of the pictures.

    Returns:
      Those that were found.

    Raises:
      UserError: the data cannot be read.
    """
    wanted = set(prompts)
    found: dict[str, Image] = {}
    for dataset in filter(None, (run.train_dataset, run.eval_dataset)):
        for example in itertools.islice(_examples(dataset), LOOKED_AT):
            captions = in_one_line(example.captions)
            for caption in wanted.intersection(captions) - found.keys():
                found[caption] = raw.framed(example, size, None, dataset.view)
            if len(found) == len(wanted):
                return found
    return found


def _examples(dataset: Any) -> Iterator[raw.RawExample]:
    provider = tasks.find_task(dataset.mixture_or_task_name, dataset.split)
    for task in raw.subtasks(provider, dataset.split):
        yield from raw.raw_examples(task.source, dataset.split)
