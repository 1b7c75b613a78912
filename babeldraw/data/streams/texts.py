"""Batches of texts, alone or beside pictures with captions: what text encoders are trained on."""

import dataclasses
import itertools
import pathlib
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import seqio
import tensorflow as tf

from babeldraw.data import preprocessing, raw
from babeldraw.data import texts as texts_lib
from babeldraw.data.sources.indexed import NotIndexed
from babeldraw.data.streams import loading
from babeldraw.data.streams import rows as rows_lib
from babeldraw.data.streams.pipeline import Dataset
from babeldraw.errors import UserError
from babeldraw.ranges import Count, Seed

Batch = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class TextDataset:
    """A split of a task or mixture, of which texts alone are read.

    Attributes:
      mixture_or_task_name: such as ``text:/my/texts``, ``tfds:c4/en``, a task of pictures, of which
        the captions are taken, a registered seqio task with an output feature ``text``, or a
        mixture ``NAME:RATE+NAME:RATE``.
      text_length: tokens of a text. Of longer ones a part is read, in training another each time.
      batch_size: rows of the global batch.
      seed: of the order and of the parts.
    """

    mixture_or_task_name: str
    text_length: Count
    split: str = "train"
    batch_size: Count = 8
    seed: Seed = 0
    shuffle: bool = True

    def batches(
        self,
        *,
        process_index: int = 0,
        process_count: int = 1,
        start_step: int = 0,
        num_epochs: int | None = None,
    ) -> Iterator[Batch]:
        """Yields ``text_tokens int32[rows, text_length]``, as `pipeline.Dataset.batches` does.

        Raises:
          UserError: unknown task or split, or one without texts.
        """
        provider = texts_lib.find_texts(self.mixture_or_task_name, self.split)
        if self.batch_size % process_count:
            raise UserError(
                f"BATCH_SIZE is {self.batch_size}, which {process_count} processes cannot share "
                f"evenly: choose a multiple of {process_count}."
            )
        rows = self.batch_size // process_count
        try:
            by_position = rows_lib.Rows(
                provider,
                self.split,
                {"text": self.text_length},
                seed=self.seed,
                shuffle=self.shuffle,
                num_epochs=num_epochs,
                nothing=self._nothing_to_read,
            )
        except NotIndexed:
            info = seqio.ShardInfo(process_index, process_count)
            streamed = self._streamed(provider, rows, num_epochs, info)
            return itertools.islice(streamed, start_step, None)
        stop = by_position.count and by_position.count // self.batch_size
        positions = rows_lib.positions(start_step, stop, process_index, process_count, rows)
        ahead = 2 * max(rows, loading.THREADS)
        return rows_lib.batched(
            loading.in_order(by_position.read_or_replace, positions, ahead), rows
        )

    def _streamed(
        self, provider: Any, rows: int, num_epochs: int | None, share: seqio.ShardInfo
    ) -> Iterator[Batch]:
        dataset = seqio.get_dataset(
            mixture_or_task_name=provider,
            task_feature_lengths={"text": self.text_length},
            feature_converter=_TextConverter(pack=False),
            dataset_split=self.split,
            shuffle=self.shuffle,
            num_epochs=num_epochs,
            shard_info=share,
            verbose=False,
            seed=self.seed,
        )
        batched = dataset.batch(rows, drop_remainder=True).prefetch(2)
        yield from batched.as_numpy_iterator()
        if num_epochs is None:
            raise self._nothing_to_read()

    def example_ids(
        self, step: int, *, process_index: int = 0, process_count: int = 1
    ) -> list[str]:
        """What the rows of batch `step` are, counted from 0."""
        share = {"process_index": process_index, "process_count": process_count}
        batch = next(self.batches(start_step=step, **share))
        return [self.vocabulary.decode(row.tolist()) for row in batch["text_tokens"]]

    def captions(self) -> Iterator[str]:
        """All texts of the split, as they are; of sources that do not tell theirs, none."""
        provider = texts_lib.find_texts(self.mixture_or_task_name, self.split)
        for part in raw.subtasks(provider, self.split):
            if hasattr(part.source, "captions"):
                yield from part.source.captions(self.split)

    @property
    def vocabulary(self) -> seqio.SentencePieceVocabulary:
        """What turns texts into tokens."""
        provider = texts_lib.find_texts(self.mixture_or_task_name, self.split)
        return provider.output_features["text"].vocabulary

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
        """What the data are; see `data.texts.fingerprint`."""
        return texts_lib.fingerprint(self.mixture_or_task_name, self.split)

    def _nothing_to_read(self) -> UserError:
        return UserError(
            f"{self.mixture_or_task_name} has no text in the split {self.split}: give another "
            "split, or files with texts."
        )


class _TextConverter(seqio.FeatureConverter):
    """``text`` becomes ``text_tokens int32[text]``, padded with 0."""

    TASK_FEATURES: ClassVar = {"text": seqio.FeatureConverter.FeatureSpec(dtype=tf.int32)}
    MODEL_FEATURES: ClassVar = {"text_tokens": seqio.FeatureConverter.FeatureSpec(dtype=tf.int32)}
    PACKING_FEATURE_DTYPES = None

    def get_model_feature_lengths(self, task_feature_lengths: Any) -> Any:
        return {"text_tokens": task_feature_lengths["text"]}

    def _convert_features(self, ds: tf.data.Dataset, task_feature_lengths: Any) -> tf.data.Dataset:
        length = task_feature_lengths["text"]

        def convert(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            tokens = tf.cast(example["text"], tf.int32)[:length]
            tokens = tf.pad(tokens, [[0, length - tf.shape(tokens)[0]]])
            return {"text_tokens": tf.ensure_shape(tokens, [length])}

        return ds.map(convert)


@dataclasses.dataclass(frozen=True)
class PairsAndTexts:
    """Pictures with captions, and in every batch as many texts from elsewhere.

    Attributes:
      pairs, texts: of one batch size and one vocabulary.

    Raises:
      UserError: the batch sizes differ.
    """

    pairs: Dataset
    texts: TextDataset

    def __post_init__(self) -> None:
        if self.pairs.batch_size != self.texts.batch_size:
            raise UserError(
                f"The pictures come {self.pairs.batch_size} in a batch and the texts "
                f"{self.texts.batch_size}: give both the same BATCH_SIZE."
            )

    @property
    def batch_size(self) -> int:
        """Pairs in a batch, and texts."""
        return self.pairs.batch_size

    def batches(self, **settings: Any) -> Iterator[Batch]:
        """Yields the pairs' batches with ``masked_tokens``; of some passes over pairs, those.

        Raises:
          UserError: as both raise, or they have different vocabularies.
        """
        if self.pairs.vocabulary != self.texts.vocabulary:
            raise UserError(
                f"{self.texts.mixture_or_task_name} and {self.pairs.mixture_or_task_name} have "
                "different vocabularies: set BABELDRAW_VOCABULARY to one that both shall have."
            )
        pairs = self.pairs.batches(**settings)
        texts = self.texts.batches(**{**settings, "num_epochs": None})
        for pair, text in zip(pairs, texts, strict=False):
            yield {**pair, "masked_tokens": text["text_tokens"]}

    def example_ids(self, step: int, **share: int) -> list[str]:
        """What the pairs of batch `step` are."""
        return self.pairs.example_ids(step, **share)

    def captions(self) -> Iterator[str]:
        """Of the pictures."""
        return self.pairs.captions()

    @property
    def vocabulary(self) -> seqio.SentencePieceVocabulary:
        """Of both."""
        return self.pairs.vocabulary

    @property
    def vocabulary_model(self) -> bytes:
        """As `Dataset.vocabulary_model`."""
        return self.pairs.vocabulary_model

    @property
    def tokenizer(self) -> str | None:
        """As `Dataset.tokenizer`."""
        return self.pairs.tokenizer

    @property
    def task_feature_lengths(self) -> Any:
        """Of the pairs."""
        return self.pairs.task_feature_lengths

    def fingerprint(self) -> dict[str, Any]:
        """Of the pairs, with that of the texts as `texts`."""
        return {**self.pairs.fingerprint(), "texts": self.texts.fingerprint()}
