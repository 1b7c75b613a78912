"""Batches of a seqio task or mixture, as numpy arrays."""

import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from babeldraw.data import tasks
from babeldraw.data.feature_converter import (
    TextToImageFeatureConverter,
    TextToTokensFeatureConverter,
)
from babeldraw.data.fingerprint import data_fingerprint
from babeldraw.errors import UserError

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
      task_feature_lengths: ``{"text": tokens, "image": side in pixels}``.
      split: name of the split.
      batch_size: rows of the global batch.
      seed: of the order and of random crops.
      shuffle: whether `batches` draws in random order.
      captioned: false where no texts are learned.
    """

    mixture_or_task_name: str
    task_feature_lengths: Mapping[str, int]
    split: str = "train"
    batch_size: int = 8
    seed: int = 0
    shuffle: bool = True
    captioned: bool = True

    def batches(
        self,
        *,
        process_index: int = 0,
        process_count: int = 1,
        start_step: int = 0,
        num_epochs: int | None = None,
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yields ``text_tokens int32[rows, text]`` and ``image uint8[rows, side, side, 3]``.

        Of a task of tokens, ``image_tokens int32[rows, tokens]`` in the place of ``image``.

        Host `process_index` of `process_count` gets rows = batch_size / process_count and in an
        epoch reads examples that no other host reads. Of a set in memory, the batches of all hosts
        together are the same for any number of hosts. With ``start_step=k`` the iterator goes on,
        bit for bit, where one that had yielded k batches stood: at once for a set in memory;
        otherwise the k batches are read again and dropped.

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
        stop = None
        if num_epochs is not None:  # hosts may hold one example more or less, but stop together
            smallest_share = sum(
                task.num_input_examples(self.split) // process_count
                for task in getattr(provider, "tasks", [provider])
                if self.split in task.splits
            )
            stop = smallest_share * num_epochs // rows
        if self._fits_in_memory(provider):
            steps = itertools.count(start_step) if stop is None else range(start_step, stop)
            lengths = tuple(self._lengths(provider).items())
            arrays = _read_all(self.mixture_or_task_name, lengths, self.split)
            return self._from_memory(arrays, process_index * rows, rows, steps)
        dataset = seqio.get_dataset(
            dataset_split=self.split,
            shuffle=self.shuffle,
            num_epochs=num_epochs,
            seed=self.seed,
            **_fixed_arguments(provider, self._lengths(provider), process_index, process_count),
        )
        if stop is not None and process_count > 1:
            # A host with broken pictures begins again rather than stop before the others.
            dataset = dataset.repeat()
        dataset = dataset.batch(rows, drop_remainder=True)
        if stop is not None:
            dataset = dataset.take(stop)
        batches = dataset.skip(start_step).prefetch(2).as_numpy_iterator()
        return batches if stop is not None else self._never_ending(batches)

    def example_ids(
        self, step: int, *, process_index: int = 0, process_count: int = 1
    ) -> list[str]:
        """What the rows of batch `step` are, counted from 0: their captions.

        The batches before it are read again, as `batches` does.
        """
        share = {"process_index": process_index, "process_count": process_count}
        batch = next(self.batches(start_step=step, **share))
        return [self.vocabulary.decode(row.tolist()) for row in batch["text_tokens"]]

    def examples(self, limit: int | None = None) -> dict[str, np.ndarray]:
        """The whole split (or its first `limit` examples) in order, as stacked arrays.

        Returns:
          ``text_tokens``, ``image`` (or ``image_tokens``) and, as arrays of str or int32, those of
          ``caption concept style role gender tone label group duplicate_of`` that the task has.

        Raises:
          UserError: unknown task or split, sizes that do not fit, or no picture can be read.
        """
        provider = self._provider()
        feature_lengths = self._lengths(provider)
        dataset = provider.get_dataset(
            feature_lengths,
            split=self.split,
            shuffle=False,
            seed=self.seed,
            num_epochs=1,
            trim_output_features=False,
        )
        described = [key for key in _DESCRIPTIONS if key in dataset.element_spec]
        converter = _converter(feature_lengths)(described)
        lengths = {**feature_lengths, **dict.fromkeys(described, 1)}
        dataset = converter(dataset, lengths)
        arrays = _stack(dataset if limit is None else dataset.take(limit))
        if not arrays:
            raise self._nothing_to_read()
        for key in described:
            if arrays[key].dtype == object:
                arrays[key] = np.array([value.decode() for value in arrays[key]])
        return arrays

    @property
    def vocabulary(self) -> seqio.SentencePieceVocabulary:
        """What turns the task's captions into tokens."""
        return self._provider().output_features["text"].vocabulary

    @property
    def vocabulary_model(self) -> bytes:
        """The vocabulary's SentencePiece model, as its file has it."""
        return pathlib.Path(self.vocabulary.sentencepiece_model_file).read_bytes()

    def fingerprint(self) -> dict[str, Any]:
        """What the data are; see `data.fingerprint`."""
        return data_fingerprint(self.mixture_or_task_name, self.split)

    def _provider(self) -> Any:
        """Looks up the name and checks the feature lengths."""
        if set(self.task_feature_lengths) != {"text", "image"}:
            raise UserError(
                f"TASK_FEATURE_LENGTHS has keys {sorted(self.task_feature_lengths)}, but needs "
                "exactly 'text' (tokens) and 'image' (pixels)."
            )
        return tasks.find_task(self.mixture_or_task_name, self.split)

    @property
    def tokenizer(self) -> str | None:
        """`models.token_identity` of the tokenizer whose tokens the batches bring, if they do."""
        made_by = tasks.token_maker(self._provider())
        return None if made_by is None else made_by[0]

    def _lengths(self, provider: Any) -> dict[str, int]:
        """Feature lengths as the provider's features need them."""
        lengths = dict(self.task_feature_lengths)
        made_by = tasks.token_maker(provider)
        if made_by is None:
            return lengths
        _, side, grid = made_by
        if lengths["image"] != side:
            raise UserError(
                f"TASK_FEATURE_LENGTHS asks for images of {lengths['image']} px, but the tokens of "
                f"{self.mixture_or_task_name} are of pictures of {side} px: set 'image' to {side}."
            )
        return {"text": lengths["text"], "image_tokens": grid * grid}

    def _fits_in_memory(self, provider: Any) -> bool:
        """Whether every epoch is the same and small."""
        if not isinstance(getattr(provider, "source", None), tasks.EmojiSource):
            return False
        size = 3 * self.task_feature_lengths["image"] ** 2
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
        self, arrays: dict[str, np.ndarray], first: int, rows: int, steps: Iterator[int] | range
    ) -> Iterator[dict[str, np.ndarray]]:
        """Rows [first, first + rows) of each batch.

        Batch `step` holds positions [step batch_size, (step + 1) batch_size) of the epochs end to
        end.
        """
        size = len(arrays["image"])

        @functools.lru_cache(maxsize=2)  # a batch may span two epochs
        def order(epoch: int) -> np.ndarray:
            if not self.shuffle:
                return np.arange(size)
            return np.random.default_rng([self.seed, epoch]).permutation(size)

        for step in steps:
            start = step * self.batch_size + first
            positions = range(start, start + rows)
            chosen = [order(position // size)[position % size] for position in positions]
            yield {key: values[chosen] for key, values in arrays.items()}


def _fixed_arguments(
    provider: Any, lengths: Mapping[str, int], process_index: int, process_count: int
) -> dict[str, Any]:
    """What every call of seqio.get_dataset has in common."""
    return {
        "mixture_or_task_name": provider,
        "task_feature_lengths": dict(lengths),
        "feature_converter": _converter(lengths)(),
        "shard_info": seqio.ShardInfo(process_index, process_count),
        "verbose": False,
        "trim_output_features": False,  # the preprocessors do it, and keep the end id
    }


def _converter(lengths: Mapping[str, int]) -> type[TextToImageFeatureConverter]:
    if "image_tokens" in lengths:
        return TextToTokensFeatureConverter
    return TextToImageFeatureConverter


@functools.lru_cache(maxsize=4)  # training and evaluation come back for theirs
def _read_all(
    name: str,
    lengths: tuple[tuple[str, int], ...],
    split: str,
) -> dict[str, np.ndarray]:
    """A split, in order."""
    return _stack(
        seqio.get_dataset(
            dataset_split=split,
            shuffle=False,
            num_epochs=1,
            **_fixed_arguments(tasks.find_task(name, split), dict(lengths), 0, 1),
        )
    )


def _stack(dataset: tf.data.Dataset) -> dict[str, np.ndarray]:
    """Reads a dataset with one thread and stacks it; leaves no thread behind. Empty: `{}`."""
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.autotune.enabled = False
    chunks = list(dataset.batch(256).with_options(options).as_numpy_iterator())
    keys = chunks[0] if chunks else ()
    return {key: np.concatenate([chunk[key] for chunk in chunks]) for key in keys}
