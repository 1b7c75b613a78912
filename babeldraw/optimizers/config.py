"""Optimizer settings. Each makes an `optax.GradientTransformation` and keeps its schedule at hand
for the log line."""

import abc
import dataclasses
from typing import Any

import jax
import optax


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig(abc.ABC):
    """Learning-rate schedule and global-norm clip (None: no clipping) of any optimizer."""

    learning_rate: optax.Schedule
    clip_norm: float | None = None

    @abc.abstractmethod
    def update_rule(self) -> optax.GradientTransformation:
        """The optimizer itself, without clipping."""

    def make(self) -> optax.GradientTransformation:
        """Clipping, then the update rule."""
        if self.clip_norm is None:
            return self.update_rule()
        return optax.chain(optax.clip_by_global_norm(self.clip_norm), self.update_rule())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adam(OptimizerConfig):
    """Adam with decoupled weight decay; the tokenizer's optimizer (arXiv 2110.04627)."""

    b1: float = 0.9
    b2: float = 0.99
    weight_decay: float = 0.0

    def update_rule(self) -> optax.GradientTransformation:
        return optax.adamw(
            self.learning_rate,
            self.b1,
            self.b2,
            weight_decay=self.weight_decay,
            mask=decayed_parameters,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adafactor(OptimizerConfig):
    """optax's Adafactor with the patent's constants; its first moment is float32.

    `b2` is the same at every step (optax's own default lets it approach 1).
    """

    b1: float = 0.9
    b2: float = 0.96
    weight_decay: float = 4.5e-2

    def update_rule(self) -> optax.GradientTransformation:
        return optax.chain(
            optax.scale_by_factored_rms(
                decay_rate=self.b2, min_dim_size_to_factor=128, decay_rate_fn=_debiased
            ),
            optax.clip_by_block_rms(1.0),
            optax.ema(self.b1, debias=False),
            optax.add_decayed_weights(self.weight_decay, decayed_parameters),
            optax.scale_by_learning_rate(self.learning_rate),
        )


def _debiased(step: jax.Array, decay: float) -> jax.Array:
    """The rate that makes a moving average from zero, debiased as Adam's, of one at `decay`.

    `decay (1 - decay^step) / (1 - decay^(step + 1))`: 0 at step 0, `decay` after a few dozen.
    """
    return decay * (1 - decay**step) / (1 - decay ** (step + 1))


def decayed_parameters(params: Any) -> Any:
    """Which parameters weight decay touches: all but layer norms and biases."""

    def decayed(path: tuple[Any, ...], _: Any) -> bool:
        return getattr(path[-1], "key", None) not in ("bias", "scale")

    return jax.tree_util.tree_map_with_path(decayed, params)
