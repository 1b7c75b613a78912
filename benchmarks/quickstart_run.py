"""What the benchmarks of sampling share: a quickstart's run, its prompts and its real pictures."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from babeldraw.cli.support.runs import Run, open_run
from babeldraw.evaluation.retrieval import Gallery
from babeldraw.sampling.pictures import Sampler

Columns = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Quickstart:
    """A text-to-image run of the quickstart, with the whole splits of its task.

    Attributes:
      gallery: all real pictures: those of `train`, then those of `heldout`.
    """

    run: Run
    train: Columns
    heldout: Columns
    gallery: Gallery

    def sampler(self, **settings: Any) -> Sampler:
        """Draws with the run's model."""
        return self.run.sampler(**{"batch_size": 48, **settings})


def open_quickstart(model_dir: str) -> Quickstart:
    """Opens `QUICKSTART/text_to_image`, as `babeldraw quickstart` leaves it."""
    run = open_run(model_dir)
    train, heldout = (
        dataclasses.replace(run.train_dataset, split=split).examples()
        for split in ("train", "heldout_people")
    )
    columns = [
        np.concatenate([train[name], heldout[name]]) for name in ("image", "concept", "style")
    ]
    return Quickstart(run, train, heldout, Gallery(*columns))
