"""What a score is: pictures and their texts in, numbers with intervals and warnings out."""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, overload, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from babeldraw.data.picture_files.images import read_image
from babeldraw.errors import UserError
from babeldraw.evaluation.shares import wilson

Picture = UInt8[np.ndarray, "height width 3"]

SUFFIXES = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"))
"""Of the files that `Pictures.of_folder` takes; captions and reports may lie beside them."""

CONFIDENCE = 0.95
RESAMPLES = 1000


class Pictures(Sequence[Picture]):
    """Pictures in a fixed order, of one size or of several, gone through as often as needed.

    Those of files are decoded each time anew, so that any number fits into memory.
    """

    def __init__(self, items: Sequence[Picture | str | os.PathLike[str]] | np.ndarray) -> None:
        """Takes arrays, uint8[n, height, width, 3] or a list of single ones, or paths of files."""
        self._items = items

    @classmethod
    def of_folder(cls, folder: str | os.PathLike[str]) -> "Pictures":
        """All picture files of a folder and its subfolders, in order of their names.

        Raises:
          UserError: there is no such folder, or no picture in it.
        """
        root = pathlib.Path(folder)
        if not root.is_dir():
            raise UserError(f"{folder} is not a folder; give one that holds pictures.")
        files = (file for file in root.rglob("*") if file.suffix.lower() in SUFFIXES)
        found = sorted(file for file in files if file.is_file())
        if not found:
            raise UserError(f"{folder} holds no picture; give a folder that does.")
        return cls(found)

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Picture: ...
    @overload
    def __getitem__(self, index: slice) -> "Pictures": ...
    def __getitem__(self, index: int | slice) -> "Picture | Pictures":
        """One picture, or some of them.

        Raises:
          UserError: its file cannot be read.
        """
        if isinstance(index, slice):
            return Pictures(self._items[index])
        item = self._items[index]
        return item if isinstance(item, np.ndarray) else read_image(item)

    def spread(self, count: int) -> "Pictures":
        """At most `count` of them, evenly spaced."""
        chosen = evenly(len(self), count)
        return self if len(chosen) == len(self) else Pictures([self._items[i] for i in chosen])

    def batches(self, size: int) -> Iterator[UInt8[np.ndarray, "batch height width 3"]]:
        """At most `size` at a time, in order; a batch ends where the pictures' size changes."""
        rows: list[Picture] = []
        for picture in self:
            if rows and (len(rows) == size or picture.shape != rows[0].shape):
                yield np.stack(rows)
                rows = []
            rows.append(picture)
        if rows:
            yield np.stack(rows)

    def digest(self) -> str:
        """SHA-256 of all sizes and pixels, in order: what a report calls the set by."""
        digest = hashlib.sha256()
        for picture in self:
            digest.update(repr(picture.shape).encode())
            digest.update(np.ascontiguousarray(picture).data)
        return digest.hexdigest()


@dataclasses.dataclass(frozen=True)
class ScoreResult:
    """One number.

    Attributes:
      interval: of 95%; None where there is none.
      per_picture: where the value is their mean, for comparisons paired by prompt; NaN of pictures
        that it leaves out.
      n: how many pictures it is of, without those.
      warnings: what a reader has to know of it, a sentence each.
    """

    value: float
    interval: tuple[float, float] | None
    per_picture: Float[np.ndarray, " n"] | None
    n: int
    warnings: tuple[str, ...] = ()


class Score(Protocol):
    """A way to give pictures numbers.

    Attributes:
      name: how a report calls it; none has it twice.
      settings: everything that moves its numbers and is known before there are pictures: network,
        hash of its file, resizing filter, seeds; plain data, as JSON has it.
    """

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> Mapping[str, object]: ...

    def of(
        self, pictures: Pictures, texts: Sequence[str], references: Pictures | None
    ) -> dict[str, ScoreResult]:
        """Numbers by name.

        Args:
          texts: what each picture was drawn from; "" for nothing.
          references: real pictures, in no relation to the drawn ones unless the score says so.

        Raises:
          UserError: it needs what is not given, such as references.
        """


@runtime_checkable
class OfEntries(Protocol):
    """A score that asks more of a picture than its text says: by its entry in a suite."""

    def of_entries(
        self, pictures: Pictures, names: Sequence[str], texts: Sequence[str]
    ) -> dict[str, ScoreResult]:
        """As `Score.of`; `names` are the entries' ids."""


def mean_result(
    per_picture: Float[np.ndarray, " n"], warnings: tuple[str, ...] = ()
) -> ScoreResult:
    """The mean of one number a picture, with its bootstrap interval.

    That has no width where all are alike: of a share, all right or all wrong, it is Wilson's.

    Raises:
      UserError: there is no picture.
    """
    values = np.asarray(per_picture, np.float64)
    if not len(values):
        raise UserError("There is no picture to score; give some.")
    mean = float(values.mean())
    alike = mean in (0, 1) and bool((values == mean).all())
    interval = wilson(mean, len(values)) if alike else bootstrap(values)
    return ScoreResult(mean, interval, values, len(values), warnings)


def bootstrap(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Percentile interval of the mean: 1,000 resamples, seed 0 (Efron 1979)."""
    rng = np.random.default_rng(0)
    means = [values[rng.integers(len(values), size=len(values))].mean() for _ in range(RESAMPLES)]
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(means, (tail, 100 - tail))
    return float(low), float(high)


def evenly(length: int, count: int) -> Sequence[int]:
    """At most `count` of the indices below `length`, evenly spaced."""
    return [i * length // count for i in range(count)] if count < length else range(length)


def file_digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, for `settings`.

    Raises:
      UserError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): name a file that is here."
        ) from error
