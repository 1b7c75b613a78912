"""What T5X asks of a task: a feature converter by its call, metrics, and a registered name."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.struct
import numpy as np
import seqio

from babeldraw.data.feature_converter import (
    TextToImageFeatureConverter,
    TextToTokensFeatureConverter,
)
from babeldraw.data.picture_files.view import PLAIN
from babeldraw.data.streams.pipeline import Dataset
from babeldraw.errors import UserError

SHOWN = 16
"""Pictures of a sheet."""
COLUMNS = 8


def converter_of(tokens_beforehand: bool) -> Callable[..., seqio.FeatureConverter]:
    """Makes the feature converter of pictures, or of tokens made beforehand, as T5X calls it."""

    def make(pack: bool = False, use_custom_packing_ops: bool = False) -> seqio.FeatureConverter:
        del use_custom_packing_ops  # Of packing.
        if pack:
            raise UserError(
                "T5X asks for packed examples, and a picture is one example: set "
                "utils.DatasetConfig.pack to False."
            )
        if tokens_beforehand:
            return TextToTokensFeatureConverter()
        return TextToImageFeatureConverter()

    return make


def settings_of(dataset: Dataset) -> dict[str, Any]:
    """What `t5x.utils.DatasetConfig` takes, but for the seed.

    The task is registered under a name of its own, with metrics; a mixture without.
    """
    provider, lengths = dataset.seqio_task()
    return {
        "mixture_or_task_name": _registered(provider, dataset),
        "task_feature_lengths": lengths,
        "split": dataset.split,
        "batch_size": dataset.batch_size,
        "shuffle": dataset.shuffle,
        "pack": False,
        "use_cached": False,
        "trim_output_features": False,  # The preprocessors do it, and keep the end id.
    }


def _registered(provider: seqio.Task | seqio.Mixture, dataset: Dataset) -> str:
    name = f"{provider.name}_drawn"
    if dataset.view != PLAIN:
        name += f"_{zlib.crc32(repr(dataset.view).encode()):08x}"
    if isinstance(provider, seqio.Mixture):
        if name not in seqio.MixtureRegistry.names():
            seqio.MixtureRegistry.add_provider(name, provider)
    elif name not in seqio.TaskRegistry.names():
        task = provider.replace(name=name, metric_fns=[], metric_objs=[DrawnPictures, Likelihood])
        seqio.TaskRegistry.add_provider(name, task)
    return name


class _OfOutput(seqio.metrics.Metric):
    """A metric for which what the model has made of all examples is enough."""

    @classmethod
    def from_model_output(
        cls,
        inputs: Sequence[Mapping[str, Any]],
        model_output: Any,
        features: Mapping[str, seqio.Feature],
        target_field_name: str = "targets",
        mask: np.ndarray | None = None,
        indices_2d: np.ndarray | None = None,
    ) -> "_OfOutput":
        """As seqio calls it; see `of`."""
        del inputs, features, target_field_name, mask, indices_2d
        return cls.of(model_output)

    @classmethod
    def of(cls, output: Any) -> "_OfOutput":
        """The metric of what the model has made."""
        raise NotImplementedError


@flax.struct.dataclass
class DrawnPictures(_OfOutput):
    """A sheet of pictures drawn of the first texts, and what all of them score."""

    model_output_type: seqio.metrics.ModelOutputType = (
        seqio.metrics.ModelOutputType.PREDICTION_WITH_AUX
    )
    sheet: Any = None
    score: Any = None

    @classmethod
    def of(cls, output: Any) -> "DrawnPictures":
        """`output` is what `predict_batch_with_aux` gives."""
        _, made = output
        return cls(sheet=sheet(np.asarray(made["pictures"])), score=float(np.mean(made["scores"])))

    def compute(self) -> dict[str, seqio.metrics.MetricValue]:
        """`drawn`, a picture, and `drawn_score`, the mean log-probability in nats a token."""
        return {
            "drawn": seqio.metrics.Image(self.sheet[None], max_outputs=1),
            "drawn_score": seqio.metrics.Scalar(self.score),
        }


@flax.struct.dataclass
class Likelihood(_OfOutput):
    """How likely the examples' own pictures are."""

    model_output_type: seqio.metrics.ModelOutputType = seqio.metrics.ModelOutputType.SCORE
    value: Any = None

    @classmethod
    def of(cls, output: Any) -> "Likelihood":
        """`output` is what `score_batch` gives."""
        return cls(value=float(np.mean(output)))

    def compute(self) -> dict[str, seqio.metrics.MetricValue]:
        """`log_probability` in nats a picture, a mean."""
        return {"log_probability": seqio.metrics.Scalar(self.value)}


def sheet(pictures: np.ndarray) -> np.ndarray:
    """Rows of the first pictures, `uint8[height, width, 3]`; what is left of the last is black."""
    shown = pictures[:SHOWN]
    count, height, width, _ = shown.shape
    rows = -(-count // COLUMNS)
    made = np.zeros((rows, height, COLUMNS, width, 3), np.uint8)
    for place, picture in enumerate(shown):
        row, column = divmod(place, COLUMNS)
        made[row, :, column] = picture
    return made.reshape(rows * height, COLUMNS * width, 3)
