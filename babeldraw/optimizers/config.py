"""Optimizer settings. Each makes an `optax.GradientTransformation` and keeps its schedule at hand
for the log line."""

import abc
import dataclasses
from typing import Any

import jax
import optax

from babeldraw.errors import UserError
from babeldraw.optimizers.adafactor import adafactor
from babeldraw.optimizers.skipping import skip_spikes
from babeldraw.ranges import Count, Positive, ShareBelowOne, Weight

FIRST_MOMENT_DTYPES = ("int8", "bfloat16", "float32")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig(abc.ABC):
    """What any optimizer has.

    Attributes:
      clip_norm: longest gradient, over all parameters; None: no clipping.
      spike_factor: a step whose loss, or gradient before clipping, is more than so many times its
        median changes nothing (see `optimizers.skipping`); 0: off.
      spike_window: the steps, of those that were taken, over which the median goes.

    Raises:
      UserError: `spike_factor` is above 0, and not above 1.
    """

    learning_rate: optax.Schedule
    clip_norm: Positive | None = None
    spike_factor: Weight = 0.0
    spike_window: Count = 128

    def __post_init__(self) -> None:
        if 0 < self.spike_factor <= 1:
            raise UserError(
                f"SPIKE_FACTOR is {self.spike_factor}, which would skip every other step: set it "
                "above 1, such as to 4, or to 0 to skip none."
            )

    def make(self, layer_axes: Any = None) -> optax.GradientTransformation:
        """The optimizer, with its clipping and without spikes.

        Args:
          layer_axes: how many leading axes of each parameter count layers, as `adafactor` takes
            it; for optimizers that see more of a parameter than one number at a time.
        """
        rule = self.rule(layer_axes)
        if not self.spike_factor:
            return rule
        return skip_spikes(rule, self.spike_factor, self.spike_window)

    @abc.abstractmethod
    def rule(self, layer_axes: Any) -> optax.GradientTransformation:
        """The optimizer itself, with its clipping."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adam(OptimizerConfig):
    """Adam with decoupled weight decay; the tokenizer's optimizer (arXiv 2110.04627)."""

    b1: ShareBelowOne = 0.9
    b2: ShareBelowOne = 0.99
    weight_decay: Weight = 0.0

    def rule(self, layer_axes: Any) -> optax.GradientTransformation:
        rule = optax.adamw(
            self.learning_rate,
            self.b1,
            self.b2,
            weight_decay=self.weight_decay,
            mask=decayed_parameters,
        )
        if self.clip_norm is None:
            return rule
        return optax.chain(optax.clip_by_global_norm(self.clip_norm), rule)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adafactor(OptimizerConfig):
    """Adafactor with the patent's constants; see `optimizers/adafactor.py`.

    Attributes:
      first_moment_dtype: one of `FIRST_MOMENT_DTYPES`.
      min_dim_size_to_factor: fewest rows and columns of a matrix whose second moment is factored.

    Raises:
      UserError: `first_moment_dtype` is none of the three.
    """

    clip_norm: Positive | None = 4.0
    b1: ShareBelowOne = 0.9
    b2: ShareBelowOne = 0.96
    weight_decay: Weight = 4.5e-2
    first_moment_dtype: str = "int8"
    min_dim_size_to_factor: Count = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.first_moment_dtype not in FIRST_MOMENT_DTYPES:
            raise UserError(
                f"optimizers.Adafactor.first_moment_dtype is {self.first_moment_dtype!r}: set it "
                f"to one of {', '.join(map(repr, FIRST_MOMENT_DTYPES))}."
            )

    def rule(self, layer_axes: Any) -> optax.GradientTransformation:
        return adafactor(
            self.learning_rate,
            self.b1,
            self.b2,
            self.first_moment_dtype,
            self.weight_decay,
            self.clip_norm,
            self.min_dim_size_to_factor,
            layer_axes,
            decayed_parameters,
        )


def decayed_parameters(params: Any) -> Any:
    """Which parameters weight decay touches: all but biases and scales, as of layer norms."""

    def decayed(path: tuple[Any, ...], _: Any) -> bool:
        return getattr(path[-1], "key", None) not in ("bias", "scale")

    return jax.tree_util.tree_map_with_path(decayed, params)
