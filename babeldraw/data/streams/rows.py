"""Rows of batches by their position in the stream, of a task or mixture of indexed sources."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from babeldraw.data.classes import Classes
from babeldraw.data.streams import order, per_example
from babeldraw.errors import UserError
from babeldraw.sizes import Size

Row = dict[str, Any]


class Rows:
    """Reads the row at any position. Several threads may do so at once."""

    def __init__(
        self,
        provider: Any,
        split: str,
        lengths: Mapping[str, Size],
        *,
        seed: int,
        shuffle: bool,
        num_epochs: int | None,
        nothing: Callable[[], UserError],
        described: Sequence[str] = (),
        classes: Classes | None = None,
    ) -> None:
        """`nothing` is raised where a task has no example that can be read.

        With `classes`, rows have a ``class_id``, and examples of other classes count as broken.

        Raises:
          NotIndexed: a task knows no way to its k-th example but past those before.
          UserError: lengths that do not fit, or a source that cannot be read.
        """
        self._split, self._seed, self._nothing = split, seed, nothing
        tasks = [task for task in getattr(provider, "tasks", [provider]) if split in task.splits]
        self._tasks = [per_example.indexed_task(task, split, lengths) for task in tasks]
        self._lengths, self._described, self._classes = lengths, described, classes
        self._sizes = [task.num_input_examples(split) for task in tasks]
        self._order = order.Order(
            self._sizes,
            [provider.get_rate(task) for task in tasks] if len(tasks) > 1 else [1.0],
            seed=seed,
            shuffle=shuffle,
            num_epochs=num_epochs,
        )
        self._broken: set[tuple[int, int]] = set()  # task and index: read once only
        if not any(self._sizes) or (num_epochs is None and not all(self._sizes)):
            raise nothing()

    @property
    def count(self) -> int | None:
        """How many positions there are; None: no end."""
        return self._order.length

    def read(self, position: int) -> Row | None:
        """None where the example is broken."""
        return self._read(self._order.place(position), position)

    def read_or_replace(self, position: int) -> Row:
        """In the place of a broken example, the next good one from half a pass on.

        So every position has a row, whatever is broken, and no batch the same example twice (but
        of sets hardly larger than it).

        Raises:
          UserError: there is none.
        """
        place = self._order.place(position)
        size = self._sizes[place.task]
        for slot in (place.slot, *((place.slot + size // 2 + i) % size for i in range(size))):
            row = self._read(place._replace(slot=slot), position)
            if row is not None:
                return row
        raise self._nothing()

    def _read(self, place: order.Place, position: int) -> Row | None:
        key = place.task, self._order.index(place)
        if key in self._broken:
            return None
        task = self._tasks[place.task]
        example = task.source.read(self._split, key[1], task.needed(self._lengths))
        row: Row = {}
        if example is not None and self._classes is not None:
            number = self._classes.id_of(task.source, example, f"{self._split}: example {key[1]}")
            example, row = (None if number is None else example), {"class_id": number}
        if example is None:
            self._broken.add(key)
            return None
        random = order.example_random(self._seed, position)
        return {**task.row(example, self._lengths, random, self._described), **row}


def stack(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """A batch; of no rows, `{}`."""
    return {key: np.stack([row[key] for row in rows]) for key in (rows[0] if rows else ())}


def positions(
    start_step: int, stop: int | None, process_index: int, process_count: int, rows: int
) -> Iterator[int]:
    """Positions of a host's rows of batch after batch."""
    steps = itertools.count(start_step) if stop is None else range(start_step, stop)
    for step in steps:
        first = (step * process_count + process_index) * rows
        yield from range(first, first + rows)


def batched(found: Iterator[Row], rows: int) -> Iterator[dict[str, np.ndarray]]:
    """Batches of `rows`; what does not fill one is left out."""
    while len(chunk := list(itertools.islice(found, rows))) == rows:
        yield stack(chunk)
