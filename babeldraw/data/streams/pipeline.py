"""Batches of a seqio task or mixture, as numpy arrays."""

import dataclasses
import functools
import itertools
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import seqio

from babeldraw.data import preprocessing, raw, tasks
from babeldraw.data.classes import Classes
from babeldraw.data.fingerprint import data_fingerprint
from babeldraw.data.picture_files.view import PLAIN, Fit, View
from babeldraw.data.sets.emoji_source import EmojiSource
from babeldraw.data.sources.indexed import NotIndexed
from babeldraw.data.streams import lengths as lengths_lib
from babeldraw.data.streams import loading, streamed
from babeldraw.data.streams import order as order_lib
from babeldraw.data.streams import rows as rows_lib
from babeldraw.errors import UserError
from babeldraw.ranges import Count, Seed, Zoom
from babeldraw.sizes import Size, height_and_width

IN_MEMORY_BYTES = 256 * 2**20  # emoji sets up to this are read once: none of their steps is random

_DESCRIPTIONS = (
    *("caption", "concept", "style", "role", "gender", "tone"),
    *("label", "group", "duplicate_of"),
)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A split of a task or mixture.

    Attributes:
      mixture_or_task_name: a registered seqio task or mixture, or one's own, such as
        ``folder:/my/pictures``; see `babeldraw.data.tasks` and `babeldraw.data.sources.names`.
      task_feature_lengths: ``{"text": tokens, "image": pixels}``, of which these are a side, or
        height and width. Where no texts are learned, ``text`` may be missing.
      split: name of the split.
      batch_size: rows of the global batch.
      seed: of the order and of random crops.
      shuffle: whether `batches` draws in random order.
      captioned: false where no texts are learned: pictures without captions are taken, too, and no
        vocabulary is asked for. The batches may then lack ``text_tokens``.
      class_feature: of the task, such as ``class`` of class_folder:, ``label`` of tfds: or ``role``
        of the emoji: no texts are learned, and the batches bring ``class_id`` in their place.
      fit, background, zoom, flip: how pictures come that are not of one size already; see `View`.
    """

    mixture_or_task_name: str
    task_feature_lengths: Mapping[str, Size]
    split: str = "train"
    batch_size: Count = 8
    seed: Seed = 0
    shuffle: bool = True
    captioned: bool = True
    class_feature: str = ""
    fit: Fit = PLAIN.fit
    background: str = PLAIN.background
    zoom: Zoom = PLAIN.zoom
    flip: bool = PLAIN.flip

    def __post_init__(self) -> None:
        _ = self.view

    @property
    def view(self) -> View:
        """How its pictures come.

        Raises:
          UserError: no such fit, colour or zoom.
        """
        return View(self.fit, self.background, self.zoom, self.flip)

    def batches(
        self,
        *,
        process_index: int = 0,
        process_count: int = 1,
        start_step: int = 0,
        num_epochs: int | None = None,
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yields ``text_tokens int32[rows, text]`` and ``image uint8[rows, height, width, 3]``.

        Of a task of tokens, ``image_tokens int32[rows, tokens]`` in the place of ``image``. With
        `class_feature`, ``class_id int32[rows]`` in the place of ``text_tokens``: the class's place
        in `class_names`. Pictures without a class, or of one that training lacks, count as those
        that cannot be read.

        Host `process_index` of `process_count` gets its rows = batch_size / process_count of each
        batch. Batch k is a function of k: the batches of all hosts together are the same for any
        number of hosts, and with ``start_step=k`` the iterator begins at once, bit for bit, where
        one that had yielded k batches stood. In the place of an example that cannot be read stands
        another; only a single host that reads so many passes leaves it out.

        Of a registered task whose source cannot be read by number, or whose preprocessors do more
        than map, seqio streams the batches: each host its own share, and the k batches are read
        again and dropped.

        Args:
          num_epochs: passes over the split; None repeats for ever. The last rows that do not fill
            a batch on every host are left out.

        Raises:
          UserError: unknown task or split, or sizes that do not fit.
        """
        provider = self._provider()
        if self.batch_size % process_count:
            raise UserError(
                f"BATCH_SIZE is {self.batch_size}, which {process_count} processes cannot share "
                f"evenly: choose a multiple of {process_count}."
            )
        rows = self.batch_size // process_count
        if self._fits_in_memory(provider):
            lengths = tuple(self._lengths(provider).items())
            arrays = _read_all(self.mixture_or_task_name, lengths, self.split, self.class_feature)
            stop = None if num_epochs is None else len(arrays["image"]) * num_epochs
            positions = rows_lib.positions(
                start_step, stop and stop // self.batch_size, process_index, process_count, rows
            )
            return self._from_memory(arrays, rows, positions)
        try:
            by_position = self._rows(provider, num_epochs)
        except NotIndexed:
            batches = streamed.batches(
                provider,
                self._streamed_lengths(provider),
                self.split,
                rows,
                num_epochs,
                seqio.ShardInfo(process_index, process_count),
                shuffle=self.shuffle,
                seed=self.seed,
            )
            left = itertools.islice(batches, start_step, None)
            return left if num_epochs is not None else self._never_ending(left)
        ahead = 2 * max(rows, loading.THREADS)
        if by_position.count is not None and process_count == 1:
            found = loading.in_order(by_position.read, range(by_position.count), ahead)
            good = (row for row in found if row is not None)
            return itertools.islice(rows_lib.batched(good, rows), start_step, None)
        stop = by_position.count and by_position.count // self.batch_size
        positions = rows_lib.positions(start_step, stop, process_index, process_count, rows)
        return rows_lib.batched(
            loading.in_order(by_position.read_or_replace, positions, ahead), rows
        )

    def _rows(
        self, provider: Any, num_epochs: int | None, described: Sequence[str] = ()
    ) -> rows_lib.Rows:
        lengths = self._lengths(provider)
        if not self._reads_texts:
            lengths.pop("text", None)
        return rows_lib.Rows(
            provider,
            self.split,
            lengths,
            seed=self.seed,
            shuffle=self.shuffle,
            num_epochs=num_epochs,
            nothing=self._nothing_to_read,
            described=described,
            classes=self._classes(provider) if self.class_feature else None,
        )

    def example_ids(
        self, step: int, *, process_index: int = 0, process_count: int = 1
    ) -> list[str]:
        """What the rows of batch `step` are, counted from 0: their captions, or their classes."""
        share = {"process_index": process_index, "process_count": process_count}
        batch = next(self.batches(start_step=step, **share))
        if "class_id" in batch:
            names = self.class_names()
            return [names[number] for number in batch["class_id"]]
        if "text_tokens" not in batch:
            return [f"row {row}" for row in range(len(next(iter(batch.values()))))]
        return [self.vocabulary.decode(row.tolist()) for row in batch["text_tokens"]]

    def examples(self, limit: int | None = None) -> dict[str, np.ndarray]:
        """The whole split (or its first `limit` examples) in order, as stacked arrays.

        Returns:
          ``text_tokens`` or ``class_id``, ``image`` (or ``image_tokens``) and, as arrays of str or
          int32, those of ``caption concept style role gender tone label group duplicate_of`` that
          the task has.

        Raises:
          UserError: unknown task or split, sizes that do not fit, or no picture can be read.
        """
        provider = self._provider()
        try:
            arrays = self._examples_by_position(provider, limit)
        except NotIndexed:
            lengths = self._streamed_lengths(provider)
            arrays = streamed.examples(provider, lengths, self.split, limit, _DESCRIPTIONS)
        if not arrays:
            raise self._nothing_to_read()
        for key, values in arrays.items():
            if values.dtype.kind in "OS":
                arrays[key] = np.array([value.decode() for value in values])
        return arrays

    def _examples_by_position(
        self, provider: Any, limit: int | None, described: Sequence[str] = _DESCRIPTIONS
    ) -> dict[str, np.ndarray]:
        in_order = dataclasses.replace(self, shuffle=False)
        by_position = in_order._rows(provider, 1, described)
        positions = range(by_position.count or 0)
        found = loading.in_order(by_position.read, positions, 2 * loading.THREADS)
        good = (row for row in found if row is not None)
        return rows_lib.stack(list(itertools.islice(good, limit)))

    def captions(self) -> Iterator[str]:
        """All captions of the split, as they are; pictures are not decoded.

        Of sources that others have registered, and that do not tell theirs, none.
        """
        for part in raw.subtasks(self._provider(), self.split):
            if hasattr(part.source, "captions"):
                yield from part.source.captions(self.split)

    def class_names(self) -> tuple[str, ...]:
        """Of each ``class_id``, by its number: the classes that training has; none without them.

        In the order that the source has, as of a TFDS ClassLabel, or sorted.

        Raises:
          UserError: the task has no such feature, or fewer than two classes.
        """
        return self._classes(self._provider()).names if self.class_feature else ()

    def _classes(self, provider: Any) -> Classes:
        return Classes.of(provider, self.class_feature, self.mixture_or_task_name)

    @property
    def _reads_texts(self) -> bool:
        return self.captioned and not self.class_feature

    @property
    def vocabulary(self) -> seqio.SentencePieceVocabulary:
        """What turns the task's captions into tokens."""
        return self._provider().output_features["text"].vocabulary

    @property
    def vocabulary_model(self) -> bytes:
        """The vocabulary's SentencePiece model, as its file has it.

        Raises:
          UserError: it is missing.
        """
        path = self.vocabulary.sentencepiece_model_file
        preprocessing.require_vocabulary(path, self.mixture_or_task_name)
        return pathlib.Path(path).read_bytes()

    def fingerprint(self) -> dict[str, Any]:
        """What the data are; see `data.fingerprint`."""
        return data_fingerprint(
            self.mixture_or_task_name,
            self.split,
            captioned=self._reads_texts,
            view=self.view,
            class_feature=self.class_feature,
        )

    def seqio_task(self) -> tuple[seqio.Task | seqio.Mixture, dict[str, Size]]:
        """The task or mixture itself, with lengths of its features: for programs that stream it.

        Raises:
          UserError: unknown task or split, or sizes or settings that do not fit it.
        """
        provider = self._provider()
        return provider, self._streamed_lengths(provider)

    def _provider(self) -> Any:
        """Looks up the name and checks the feature lengths."""
        lengths_lib.check(self.task_feature_lengths, self._reads_texts)
        name, split = self.mixture_or_task_name, self.split
        return tasks.find_task(name, split, captioned=self._reads_texts, view=self.view)

    @property
    def tokenizer(self) -> str | None:
        """`models.token_identity` of the tokenizer whose tokens the batches bring, if they do."""
        manifest = tasks.token_manifest(self._provider())
        return None if manifest is None else manifest.tokenizer

    def _lengths(self, provider: Any) -> dict[str, Size]:
        """Feature lengths as the provider's features need them."""
        return lengths_lib.of_features(
            self.task_feature_lengths, provider, self.mixture_or_task_name, self.view
        )

    def _streamed_lengths(self, provider: Any) -> dict[str, Size]:
        """Of a task that is read from its beginning."""
        lengths = self._lengths(provider)
        lengths_lib.check_streamed(lengths, self.mixture_or_task_name, self.class_feature)
        return lengths

    def _fits_in_memory(self, provider: Any) -> bool:
        """Whether every epoch is the same and small."""
        if not isinstance(getattr(provider, "source", None), EmojiSource):
            return False
        size = 3 * math.prod(height_and_width(self.task_feature_lengths["image"]))
        examples: int = provider.num_input_examples(self.split)
        return examples * size <= IN_MEMORY_BYTES

    def _never_ending(
        self, batches: Iterator[dict[str, np.ndarray]]
    ) -> Iterator[dict[str, np.ndarray]]:
        """Says so if they end, as they only do where there are none."""
        yield from batches
        raise self._nothing_to_read()

    def _nothing_to_read(self) -> UserError:
        return UserError(
            f"{self.mixture_or_task_name} has no picture that can be read in the split "
            f"{self.split}: `babeldraw data inspect {self.mixture_or_task_name}` says why."
        )

    def _from_memory(
        self, arrays: dict[str, np.ndarray], rows: int, positions: Iterator[int]
    ) -> Iterator[dict[str, np.ndarray]]:
        """The rows at the positions."""
        order = order_lib.Order([len(arrays["image"])], seed=self.seed, shuffle=self.shuffle)
        while chunk := list(itertools.islice(positions, rows)):
            chosen = [order.index(order.place(position)) for position in chunk]
            yield {key: values[chosen] for key, values in arrays.items()}


@functools.lru_cache(maxsize=4)  # training and evaluation come back for theirs
def _read_all(
    name: str, lengths: tuple[tuple[str, Size], ...], split: str, class_feature: str
) -> dict[str, np.ndarray]:
    """A split, in order."""
    if not class_feature and "text" in dict(lengths):
        return streamed.examples(tasks.find_task(name, split), dict(lengths), split)
    dataset = Dataset(name, dict(lengths), split, captioned=False, class_feature=class_feature)
    return dataset._examples_by_position(dataset._provider(), None, ())
