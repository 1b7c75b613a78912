"""Optimizer settings. Each makes an `optax.GradientTransformation` and keeps its schedule at hand
for the log line."""

import abc
import dataclasses
from typing import Any

import jax
import optax

from babeldraw.errors import UserError
from babeldraw.optimizers.adafactor import adafactor
from babeldraw.ranges import Count, Positive, ShareBelowOne, Weight

FIRST_MOMENT_DTYPES = ("int8", "bfloat16", "float32")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig(abc.ABC):
    """Learning-rate schedule and global-norm clip (None: no clipping) of any optimizer."""

    learning_rate: optax.Schedule
    clip_norm: Positive | None = None

    @abc.abstractmethod
    def make(self, layer_axes: Any = None) -> optax.GradientTransformation:
        """The optimizer, with its clipping.

        Args:
          layer_axes: how many leading axes of each parameter count layers, as `adafactor` takes
            it; for optimizers that see more of a parameter than one number at a time.
        """


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adam(OptimizerConfig):
    """Adam with decoupled weight decay; the tokenizer's optimizer (arXiv 2110.04627)."""

    b1: ShareBelowOne = 0.9
    b2: ShareBelowOne = 0.99
    weight_decay: Weight = 0.0

    def make(self, layer_axes: Any = None) -> optax.GradientTransformation:
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
        if self.first_moment_dtype not in FIRST_MOMENT_DTYPES:
            raise UserError(
                f"optimizers.Adafactor.first_moment_dtype is {self.first_moment_dtype!r}: set it "
                f"to one of {', '.join(map(repr, FIRST_MOMENT_DTYPES))}."
            )

    def make(self, layer_axes: Any = None) -> optax.GradientTransformation:
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
