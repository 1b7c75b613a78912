"""The classes of a task's pictures, by one of its features: names, and the id of each example."""

import collections
import dataclasses
import functools
from typing import Any, Self

import numpy as np

from babeldraw.data import raw
from babeldraw.data.sources.indexed import Example, Indexed
from babeldraw.data.sources.pictures import Skipped, printable, sorted_classes
from babeldraw.errors import UserError


@dataclasses.dataclass(frozen=True)
class Classes:
    """The classes that training has; a class's id is its place among the names.

    Attributes:
      feature: of the examples, which says their class.
    """

    feature: str
    names: tuple[str, ...]

    @classmethod
    def of(cls, provider: Any, feature: str, name: str) -> Self:
        """Of a task; of a mixture, whose tasks have them by this feature each, all of theirs.

        Args:
          name: as users type it.

        Raises:
          UserError: there is no such feature, or it tells no two classes apart.
        """
        known = features_of(provider)
        if feature not in known:
            fix = f"set it to {' or '.join(map(repr, known))}" if known else "name a set with some"
            raise UserError(f"{name} has no classes by CLASS_FEATURE = {feature!r}: {fix}.")
        names = _names(provider, feature)
        if len(names) < 2:
            has = f"one class, {printable(names[0])!r}," if names else "no class"
            raise UserError(
                f"{name} has {has} by {feature!r} in its training pictures: bring two or more, in "
                "a sub-folder each of class_folder:."
            )
        return cls(feature, names)

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    def id_of(self, source: Indexed, example: Example, place: str) -> np.int32 | None:
        """Of an example; None, which its source counts, where it has no class that training has.

        Args:
          place: names the example where it has no name.
        """
        label = source.class_of(example, self.feature)
        number = self._ids.get(label)
        if number is None:
            skipped = getattr(source, "skipped", None)
            if isinstance(skipped, Skipped):
                name = example.get("name", place.encode()).decode("utf-8", "surrogateescape")
                kind = "class not in training" if label else "no class"
                skipped.add(kind, f"{name} ({label})" if label else name)
            return None
        return np.int32(number)


def features_of(provider: Any) -> tuple[str, ...]:
    """Those by which all pictures of a task or mixture have classes."""
    found: list[tuple[str, ...]] = [
        getattr(task.source, "class_features", ()) for task in raw.subtasks(provider, "train")
    ]
    return tuple(name for name in found[0] if all(name in names for names in found))


def all_of(provider: Any) -> dict[str, list[str]]:
    """The names of the classes of a task or mixture by each of `features_of`."""
    return {feature: list(_names(provider, feature)) for feature in features_of(provider)}


def _names(provider: Any, feature: str) -> tuple[str, ...]:
    """In the order of the tasks, if it is the same, or sorted."""
    found: list[tuple[str, ...]] = [
        task.source.class_names(feature) for task in raw.subtasks(provider, "train")
    ]
    if any(names != found[0] for names in found):
        return sorted_classes(each for names in found for each in names)
    return found[0]


def counted(labels: collections.Counter[str], most: int = 10) -> str:
    """How many classes there are, and the largest; `labels` may have the empty name, of none."""
    sizes = collections.Counter({name: count for name, count in labels.items() if name})
    largest = [f"{printable(name)} {count:,}" for name, count in sizes.most_common(most)]
    more = f" and {len(sizes) - most:,} more" if len(sizes) > most else ""
    without = f"; {labels['']:,} pictures have none" if labels[""] else ""
    return f"{len(sizes):,} classes: {', '.join(largest)}{more}{without}"
