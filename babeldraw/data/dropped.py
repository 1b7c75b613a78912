"""Training pictures that also stand in an evaluation set: found, listed, and left out.

`babeldraw data dedup` writes the list beside the captions, where the task looks for it.
"""

import json
import pathlib
from collections.abc import Sequence

import seqio

from babeldraw.data import duplicates, raw, tasks
from babeldraw.data.sources.picture_source import PictureSource
from babeldraw.errors import UserError
from babeldraw.files import written_whole


def drop_copies(name: str, against: Sequence[str]) -> tuple[list[str], pathlib.Path]:
    """Looks for near-duplicates of evaluation pictures in a task's training split and lists them.

    Of the task itself in `against`, the other splits are evaluation pictures; of another task, all
    splits. What an earlier list has stays on it.

    Returns:
      Names of the pictures that were found now, and the path of the list.

    Raises:
      UserError: there is no such task, it has no list of pictures, or the list cannot be written.
    """
    source = getattr(tasks.find_pictures(name, "train"), "source", None)
    if not isinstance(source, PictureSource) or source.dropped_file is None:
        raise UserError(
            f"{name} is no task of your own pictures, such as folder:/my/pictures: copies can be "
            "dropped from these alone."
        )
    looks, names = duplicates.Looks(), []
    for example in raw.raw_examples(source, "train"):
        looks.add(example.image)
        names.append(example.name)
    for other in against:
        for part, split in _evaluation_splits(other, name):
            for example in raw.raw_examples(part, split):
                looks.add(example.image)
    copies = {min(pair) for pair in looks.pairs() if min(pair) < len(names) <= max(pair)}
    found = [names[index] for index in sorted(copies)]
    listed = sorted({*source.dropped(), *found})
    with written_whole(source.dropped_file, "make the folder of the captions writable") as file:
        file.write(json.dumps(listed, indent=0).encode() + b"\n")
    return found, source.dropped_file


def _evaluation_splits(name: str, training: str) -> list[tuple[seqio.DataSource, str]]:
    provider = tasks.find_pictures(name, "train")
    splits = [split for split in provider.splits if split != "train" or name != training]
    return [(task.source, split) for split in splits for task in raw.subtasks(provider, split)]
