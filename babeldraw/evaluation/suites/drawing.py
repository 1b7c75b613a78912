"""Drawing a suite into a folder: any number of pictures, and on after a kill as if without it.

  DIR/drawn.json             what decides the pictures; another drawing is refused here
  DIR/pictures/SHARD/ID-k.png  sample k of an entry, written whole or not at all

A picture's noise is of the seed, its prompt's text and its number among the samples of that text.
Pictures are drawn in groups (`sampling.groups`) that the suite alone decides: in the order of the
ids, whatever is there already. So neither batches nor devices nor kills change a bit of any.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from etils import epath
from jaxtyping import Bool, Int
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from babeldraw import files
from babeldraw.errors import UserError
from babeldraw.evaluation.suites.entries import Suite
from babeldraw.parallel.processes import is_first
from babeldraw.sampling.groups import Rows, draw_rows
from babeldraw.sampling.pictures import Sampler
from babeldraw.training import agreement

RECORD = "drawn.json"
FOLDER = "pictures"
SHARD = 1000
"""Pictures of a folder."""


class Job(NamedTuple):
    """One picture.

    Attributes:
      entry: its place in the suite.
      sample: its number among the entry's.
      number: its number among all pictures of this prompt's text, by which its noise goes.
    """

    entry: int
    sample: int
    number: int


def jobs_of(suite: Suite, num_samples: int) -> list[Job]:
    """All pictures of a suite, in the order in which they are drawn and scored."""
    found, before = [], suite.occurrences()
    for index, entry in enumerate(suite.entries):
        count = entry.samples or num_samples
        found += [Job(index, k, before[index] * count + k) for k in range(count)]
    return found


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A suite's pictures in their folder.

    Attributes:
      fresh: how many were drawn by this call; the others were there.
    """

    suite: Suite
    jobs: Sequence[Job]
    folder: epath.Path
    fresh: int

    def path(self, place: int) -> epath.Path:
        """File of the picture at this place among the jobs."""
        return self.folder / name_of(self.suite, self.jobs[place], place)


def name_of(suite: Suite, job: Job, place: int) -> str:
    """The picture's file, inside the folder."""
    entry = suite.entries[job.entry]
    return f"{FOLDER}/{place // SHARD:05d}/{entry.id}-{job.sample}.png"


def draw(
    suite: Suite,
    sampler: Sampler,
    conditions: Int[np.ndarray, "entries *conditions"],
    *,
    num_samples: int,
    seed: int,
    folder: epath.Path,
    record: Mapping[str, Any],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Drawn:
    """Draws what is missing of a suite. To be called by all processes; the first one writes.

    Args:
      sampler: with `together`.
      conditions: of each entry, as `Sampler.generate` takes them.
      folder: seen by all processes.
      record: all that decides the pictures, as JSON has it; each picture says it of itself.
      on_progress: called with pictures done and pictures in all.

    Raises:
      UserError: the folder has pictures that were drawn otherwise, or cannot be written.
    """
    assert sampler.together is not None
    jobs, size = jobs_of(suite, num_samples), sampler.together
    agreement.by_first(lambda: _claim(folder, record))
    if files.names_in(folder) is None or not (folder / RECORD).exists():
        raise UserError(
            f"{folder} is written by one process and not seen by another; name a folder that all "
            "hosts share, or a bucket."
        )
    missing = _missing(suite, jobs, folder)
    # A group is drawn again as a whole: a picture's last bits depend on its company.
    groups = [
        range(start, min(start + size, len(jobs)))
        for start in range(0, len(jobs), size)
        if missing[start : start + size].any()
    ]
    places = [place for group in groups for place in group]
    counts = {entry.samples or num_samples for entry in suite.entries}
    done = int((~missing).sum())
    on_progress(done, len(jobs))

    def keep(first: int, rows: Rows) -> None:
        nonlocal done
        for place, image, score in zip(places[first:], rows.images, rows.scores, strict=False):
            if missing[place]:
                done += 1
                if is_first():
                    name = folder / name_of(suite, jobs[place], place)
                    _write(name, image, _said(suite, jobs[place], record, float(score)))
        on_progress(done, len(jobs))

    if places:
        draw_rows(
            sampler,
            np.asarray(conditions)[[jobs[place].entry for place in places]],
            np.array([jobs[place].number for place in places]),
            seed=seed,
            shared=math.gcd(size, *counts),
            on_batch=keep,
        )
    agreement.wait_for_all("the suite is drawn")
    return Drawn(suite, jobs, folder, int(missing.sum()))


def _claim(folder: epath.Path, record: Mapping[str, Any]) -> None:
    """Writes the record, or holds it against the one that is there."""
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    file = folder / RECORD
    if not file.exists():
        try:
            files.mark_output(folder)
        except OSError as error:
            raise UserError(
                f"{folder} cannot be made a folder ({error.strerror}); name another."
            ) from error
        with files.written_whole(file) as opened:
            opened.write(text.encode())
        return
    try:
        before = json.loads(file.read_text())
        differ = [name for name in {**before, **record} if before.get(name) != record.get(name)]
    except (ValueError, TypeError):
        raise UserError(f"{file} is damaged; name another folder to draw into.") from None
    if differ:
        name = differ[0]
        now, then = (_short(each.get(name)) for each in (record, before))
        raise UserError(
            f"{folder} has pictures that were drawn with another {name} ({then}, now {now}); name "
            "another folder, or give what it was drawn with."
        )


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _missing(suite: Suite, jobs: Sequence[Job], folder: epath.Path) -> Bool[np.ndarray, " jobs"]:
    """Which pictures are not there, as process 0 sees it."""
    there = np.zeros(len(jobs), bool)
    if is_first():
        for start in range(0, len(jobs), SHARD):
            names = set(files.names_in(folder / FOLDER / f"{start // SHARD:05d}") or ())
            for place in range(start, min(start + SHARD, len(jobs))):
                name = name_of(suite, jobs[place], place).rpartition("/")[2]
                there[place] = name in names
    return ~agreement.mask_of_first(there)


def _said(suite: Suite, job: Job, record: Mapping[str, Any], score: float) -> PngInfo:
    entry = suite.entries[job.entry]
    said = PngInfo()
    own = {"id": entry.id, "prompt": entry.prompt, "sample": str(job.number)}
    settings = json.dumps({name: value for name, value in record.items() if name != "suite"})
    for name, value in (own | {"score": f"{score:.4f}", "settings": settings}).items():
        said.add_itxt(name, value)
    return said


def _write(path: epath.Path, image: np.ndarray, said: PngInfo) -> None:
    with files.written_whole(path) as file:
        Image.fromarray(image).save(file, "PNG", pnginfo=said)
