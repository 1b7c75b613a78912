"""A small suite while a run trains: `EVALUATE_SUITE` of the recipes."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from babeldraw.data.picture_files.view import View
from babeldraw.errors import UserError
from babeldraw.evaluation.scores.base import Pictures, Score
from babeldraw.evaluation.scores.nearest import MOST, Nearest, fits
from babeldraw.evaluation.suites.drawing import jobs_of
from babeldraw.evaluation.suites.known import open_suite
from babeldraw.evaluation.suites.scoring import Shown, references_of, score_all
from babeldraw.objectives.base import Networks, NotOffered, Objective
from babeldraw.pieces import encode
from babeldraw.ranges import Count, Weight, Whole
from babeldraw.sampling.groups import Rows, draw_rows
from babeldraw.sampling.pictures import Sampler

TOGETHER = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class SuiteInTraining:
    """Which prompts, and how they are drawn: one picture each, the same noise at every step.

    Attributes:
      name: as `babeldraw evaluate --suite` takes it, with real pictures to compare with; "": none.
      every: steps between two looks; 0: none.
      limit: prompts at most, by the hashes of their ids.
      guidance_weight, cutoff: as of `babeldraw sample`.
    """

    name: str = ""
    every: Whole = 0
    limit: Count = 64
    guidance_weight: Weight = 1.0
    cutoff: Weight = 0.0

    def open(self, objective: Objective, dataset: Any) -> "Scorer | None":
        """See `training.watching.suite.Suite`."""
        if not self.name:
            return None
        names = [*objective.abstract_params, *objective.abstract_constants()]
        settings = {"guidance_weight": (self.guidance_weight,), "cutoff": self.cutoff}
        try:
            sampler = objective.sampler({each: {} for each in names}, together=TOGETHER, **settings)
        except NotOffered as error:
            raise UserError(
                f"EVALUATE_SUITE is {self.name!r}, and a run of this kind {error.what}; set it in "
                f"{error.wanted}."
            ) from error
        classes = dataset.class_names()
        if not classes and not sampler.model.condition_shape:
            raise UserError(
                f"EVALUATE_SUITE is {self.name!r}, and this run reads neither texts nor classes; "
                "leave it out."
            )
        size = sampler.tokenizer.image_size
        suite = open_suite(self.name, size, classes).first(self.limit)
        view: View = dataset.view
        references, entries = references_of(suite, size, view)
        if references is None or not fits(size) or len(references) > MOST:
            raise UserError(
                f"EVALUATE_SUITE is {self.name!r}, and its prompts have no real pictures that "
                "drawings could be compared with; give a suite with references."
            )
        said = [each.prompt for each in suite.entries]
        if classes:
            numbers = {name: number for number, name in enumerate(classes)}
            unknown = [each for each in said if each not in numbers]
            if unknown:
                raise UserError(
                    f"EVALUATE_SUITE is {self.name!r}, and {unknown[0]!r} is none of the run's "
                    "classes; give a suite of its classes."
                )
            conditions = np.array([numbers[each] for each in said], np.int32)
        else:
            conditions = encode(said, dataset.vocabulary, sampler.model.condition_shape[0])
        score = Nearest([suite.entries[index].prompt for index in entries], suite.others)
        jobs = jobs_of(suite, 1)
        shown = Shown(suite, Pictures([]), [job.entry for job in jobs])
        rows = np.array([job.entry for job in jobs]), np.array([job.number for job in jobs])
        return Scorer(objective, sampler, conditions[rows[0]], rows[1], shown, references, [score])


@dataclasses.dataclass(frozen=True)
class Scorer:
    """Draws and scores with whatever networks it is given.

    Attributes:
      sampler: without weights.
      conditions, numbers: of each picture.
      shown: without pictures.
    """

    objective: Objective
    sampler: Sampler
    conditions: np.ndarray
    numbers: np.ndarray
    shown: Shown
    references: Pictures
    scores: list[Score]

    def __call__(self, networks: Networks) -> Mapping[str, float]:
        """Numbers by name."""
        weights = self.objective.sampler(networks)
        sampler = self.sampler.with_weights(weights.params, weights.tokenizer_params)
        drawn: list[np.ndarray] = []

        def keep(first: int, rows: Rows) -> None:
            drawn.append(rows.images)

        draw_rows(sampler, self.conditions, self.numbers, on_batch=keep)
        shown = dataclasses.replace(self.shown, pictures=Pictures(np.concatenate(drawn)))
        results = score_all(self.scores, shown, self.references)
        return {
            name: result.value for values in results.values() for name, result in values.items()
        }
