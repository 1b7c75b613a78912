"""Batches of a seqio task or mixture, as numpy arrays."""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
import seqio
import tensorflow as tf

from babeldraw.data import tasks, vocabulary
from babeldraw.data.feature_converter import TextToImageFeatureConverter
from babeldraw.errors import UserError

_KEPT = ("caption", "concept", "style", "role", "gender", "tone", "label", "group", "duplicate_of")


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A split of a task or mixture.

    Attributes:
      mixture_or_task_name: a registered seqio task or mixture; see `babeldraw.data.tasks`.
      task_feature_lengths: ``{"text": tokens, "image": side in pixels}``.
      split: name of the split.
      batch_size: rows of the global batch.
      seed: of the order and of random crops.
      shuffle: whether `batches` draws in random order.
    """

    mixture_or_task_name: str
    task_feature_lengths: Mapping[str, int]
    split: str = "train"
    batch_size: int = 8
    seed: int = 0
    shuffle: bool = True

    def batches(
        self,
        *,
        process_index: int = 0,
        process_count: int = 1,
        start_step: int = 0,
        num_epochs: int | None = None,
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yields ``text_tokens int32[rows, text]`` and ``image uint8[rows, side, side, 3]``.

        Host `process_index` of `process_count` gets rows = batch_size / process_count and reads
        examples that no other host reads. With ``start_step=k`` the iterator goes on where one that
        had yielded k batches stood; the k batches are read again and dropped.

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
        dataset = seqio.get_dataset(
            provider,
            dict(self.task_feature_lengths),
            TextToImageFeatureConverter(),
            dataset_split=self.split,
            shuffle=self.shuffle,
            num_epochs=num_epochs,
            shard_info=seqio.ShardInfo(process_index, process_count),
            seed=self.seed,
            verbose=False,
            trim_output_features=False,  # done by the preprocessors, with the end id kept
        )
        dataset = dataset.batch(rows, drop_remainder=True)
        if num_epochs is not None:  # hosts may hold one example more or less, but must stop together
            examples = provider.num_input_examples(self.split) // process_count
            dataset = dataset.take(examples * num_epochs // rows)
        dataset = dataset.skip(start_step).prefetch(2)
        return dataset.with_options(_options()).as_numpy_iterator()

    def examples(self, limit: int | None = None) -> dict[str, np.ndarray]:
        """The whole split (or its first `limit` examples) in order, as stacked arrays.

        Returns:
          ``text_tokens``, ``image`` and, as arrays of str or int32, those of ``caption concept
          style role gender tone label group duplicate_of`` that the task has.
        """
        dataset = self._provider().get_dataset(
            dict(self.task_feature_lengths),
            split=self.split,
            shuffle=False,
            seed=self.seed,
            num_epochs=1,
            trim_output_features=False,
        )
        if limit is not None:
            dataset = dataset.take(limit)
        columns: dict[str, list[np.ndarray]] = {}
        for example in dataset.with_options(_options()).as_numpy_iterator():
            tokens = np.full(self.task_feature_lengths["text"], vocabulary.PAD_ID, np.int32)
            tokens[: len(example["text"])] = example["text"]
            columns.setdefault("text_tokens", []).append(tokens)
            for key in ("image", *_KEPT):
                if key in example:
                    value = example[key]
                    value = value.decode() if isinstance(value, bytes) else value
                    columns.setdefault(key, []).append(value)
        return {key: np.stack(values) for key, values in columns.items()}

    def _provider(self) -> seqio.Task | seqio.Mixture:
        """Looks up the name and checks the feature lengths."""
        if set(self.task_feature_lengths) != {"text", "image"}:
            raise UserError(
                f"TASK_FEATURE_LENGTHS has keys {sorted(self.task_feature_lengths)}, but needs "
                "exactly 'text' (tokens) and 'image' (pixels)."
            )
        return tasks.find_task(self.mixture_or_task_name, self.split)


def _options() -> tf.data.Options:
    """Few threads: the cores belong to the training step."""
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    options.autotune.enabled = False
    options.deterministic = True
    return options
