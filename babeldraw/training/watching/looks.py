"""Looking at a run: the same few batches, held out and seen, evaluated and drawn every so often.

model_dir/pictures/ has, of each sheet NAME that the objective draws,

  NAME-STEP.png  a row a picture, first those held out and then as many seen ones, always the same;
                 the noise is the same at every step, too
  NAME.json      what is where on each of them: `columns`, what each column shows; `rows`, of each
                 row its `split` (`eval` for held out, `seen`) and, where the run reads texts or
                 classes, its `prompt`; and `cell`: `height` and `width` in pixels of each picture
                 on the sheet, and `line`, the width of the lines around all of them
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from etils import epath

from babeldraw.files import written_whole
from babeldraw.objectives.alarms import Plan
from babeldraw.objectives.base import Batch, Constants, Metrics
from babeldraw.parallel.parts import mean_over_parts
from babeldraw.parallel.rules import batch_shards
from babeldraw.training.feeding import ASKED, asked_reader, text_reader
from babeldraw.training.state import EVALUATION_STEP, PICTURES_STEP, TrainState, step_key
from babeldraw.training.watching.alarms import RaiseAlarms, pictures_of
from babeldraw.training.watching.hooks import Hook, PlotCurves
from babeldraw.training.watching.looked import HELD_OUT, SEEN, Looked
from babeldraw.training.watching.metrics import PictureWriter, Writer
from babeldraw.training.watching.pictures import cell_of, make_grid, write_png

SHOWN = 8
"""Rows of a sheet of each split."""


def make_looks(
    looked: Looked,
    directory: epath.Path,
    every: tuple[int, int],
    steps: tuple[int, int],
    write: Writer,
    show: PictureWriter,
) -> list[Hook]:
    """The hooks of a run that look at it and change nothing; says what is wrong with its data.

    Args:
      every: steps between evaluations, and between sheets of pictures.
      steps: where this start of the run begins, and the last one.
    """
    (eval_every, pictures_every), (start, train_steps) = every, steps
    seen = looked.batches[SEEN]
    looks: list[Hook] = []
    if HELD_OUT in looked.batches and eval_every:
        plan = Plan(train_steps, seen.dataset.batch_size, pictures_of(directory))
        alarms = RaiseAlarms(eval_every, looked.objective, plan, directory, start)
        texts = [row for batch in seen.on_host for row in batch.get("text_tokens", ())]
        alarms.of_data(start, map(text_reader(seen.dataset), texts))
        evaluate = Evaluate(eval_every, looked, write)
        looks += [evaluate, alarms, PlotCurves(eval_every, directory)]
    asked = asked_reader(seen.dataset)
    pictures = SavePictures(pictures_every, looked, directory / "pictures", show, asked)
    return [*looks, pictures]


class Evaluate:
    """Means of the objective's metrics over all batches of each split, without dropout."""

    def __init__(self, every: int, looked: Looked, write: Writer) -> None:
        self.every = every
        self._looked, self._write = looked, write
        self._key = step_key(looked.seed, EVALUATION_STEP)
        self._evaluate = looked.compiled(self._mean)

    def _mean(self, params: Any, constants: Constants, batch: Batch, key: jax.Array) -> Metrics:
        """`Objective.evaluate`, in as many parts as a step. Traceable."""
        objective = self._looked.objective

        def evaluate(part: Batch) -> tuple[Metrics, tuple[()]]:
            return objective.evaluate(params, constants, part, key), ()

        return mean_over_parts(evaluate, batch, objective.execution.accumulate, ())[0]

    def __call__(self, step: int, state: TrainState) -> None:
        """Writes a record of each split."""
        for split, batches in self._looked.batches.items():
            results = [
                self._evaluate(
                    state.params,
                    self._looked.held,
                    batches[index],
                    jax.random.fold_in(self._key, index),
                )
                for index in range(len(batches))
            ]
            fetched = jax.device_get(results)
            means = {name: np.mean([r[name] for r in fetched], axis=0) for name in fetched[0]}
            self._write(step, split, self._looked.objective.summarize(means))


class SavePictures:
    """The objective's sheets of the first rows of each split; see above for the files."""

    def __init__(
        self,
        every: int,
        looked: Looked,
        directory: epath.Path,
        show: PictureWriter,
        read_asked: Callable[[Mapping[str, Any]], str | None],
    ) -> None:
        """`show` gets each sheet besides; `read_asked` says what a row asks for, if anything."""
        self.every = every
        self._looked, self._directory, self._show = looked, directory, show
        self._read_asked = read_asked
        self._key = step_key(looked.seed, PICTURES_STEP)
        self._pictures = looked.compiled(self._first_rows)

    def _first_rows(self, params: Any, constants: Constants, batch: Batch, key: jax.Array) -> Any:
        """Sheets, and `ASKED`, of the first rows, as few as divide over the mesh. Traceable."""
        groups = batch_shards()
        rows = -(-SHOWN // groups) * groups
        batch = {name: array[:rows] for name, array in batch.items()}
        sheets = self._looked.objective.pictures(params, constants, batch, key)
        shown = sheets, {name: batch[name] for name in ASKED if name in batch}
        return jax.tree.map(lambda array: array[:SHOWN], shown)

    def __call__(self, step: int, state: TrainState) -> None:
        """Writes each sheet."""
        found = {}
        constants = self._looked.all_constants()
        for split, batches in self._looked.batches.items():
            shown = self._pictures(state.params, constants, batches[0], self._key)
            found[split] = jax.device_get(shown)
        if jax.process_index() == 0:
            for name in next(iter(found.values()))[0]:
                self._write(step, name, found)

    def _write(self, step: int, name: str, found: Mapping[str, Any]) -> None:
        """Writes the sheet `name` of `found`: split -> (sheets, what its rows ask for)."""
        images = np.concatenate([sheets[name] for sheets, _ in found.values()])
        sheet = make_grid(images)
        said = {
            "columns": list(self._looked.objective.sheet_columns().get(name, ())),
            "rows": [
                {"split": split} | self._prompt({key: each[row] for key, each in asked.items()})
                for split, (sheets, asked) in found.items()
                for row in range(len(sheets[name]))
            ],
            "cell": cell_of(*images.shape[2:4]),
        }
        with written_whole(self._directory / f"{name}.json", "free its disk") as file:
            file.write((json.dumps(said, indent=2, ensure_ascii=False) + "\n").encode())
        write_png(self._directory / f"{name}-{step:06d}.png", sheet)
        self._show(step, name, sheet)

    def _prompt(self, asked: Mapping[str, Any]) -> dict[str, str]:
        read = self._read_asked(asked)
        return {} if read is None else {"prompt": read}
