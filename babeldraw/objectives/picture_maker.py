"""What training stages have in common whose network makes pictures that are to equal given ones."""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt8

from babeldraw.objectives import adversarial, losses
from babeldraw.objectives.adversarial import Adversary
from babeldraw.objectives.base import Batch, Constants, Metrics, Objective, Params, Player, Reads
from babeldraw.objectives.losses import Terms
from babeldraw.objectives.perceptual import Perceptual
from babeldraw.ranges import Weight

Images = Float[Array, "batch height width 3"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PictureMaker(Objective):
    """L2, perceptual and adversarial terms on made pictures. A term of weight 0 is not computed.

    Attributes:
      perceptual: distance in a frozen network's features; None: off.
      adversary: the discriminator, trained beside the maker; None: off.
    """

    l2_weight: Weight = 1.0
    perceptual: Perceptual | None = None
    adversary: Adversary | None = None

    def __post_init__(self) -> None:
        # What has no weight is taken out here, once.
        for part in ("perceptual", "adversary"):
            if getattr(self, part) is not None and not getattr(self, part).weight:
                object.__setattr__(self, part, None)

    @abc.abstractmethod
    def real_and_made(
        self, params: Mapping[str, Params], constants: Constants, batch: Batch
    ) -> tuple[Images, Images]:
        """The batch's pictures, in [0, 1], and the made ones, which may overshoot."""

    def constants(self) -> dict[str, Any]:
        return {} if self.perceptual is None else {"perceptual": self.perceptual.params()}

    def abstract_constants(self) -> dict[str, Any]:
        shapes: dict[str, Any] = jax.eval_shape(lambda: PictureMaker.constants(self))
        return shapes

    def init_adversary(self, key: Key[Array, ""]) -> dict[str, Params]:
        """Fresh parameters of the discriminator by its player's name, if there is one."""
        if self.adversary is None:
            return {}
        return {adversarial.NAME: self.adversary.init(jax.random.fold_in(key, 1))}

    def adversary_players(self) -> tuple[Player, ...]:
        """The discriminator, if there is one; to be placed before the maker."""
        if self.adversary is None:
            return ()
        axes = self.layer_axes(adversarial.NAME)
        return (self.adversary.player(self.real_and_made, axes),)

    def picture_terms(self, images: Images, made: Images, constants: Constants) -> Terms:
        """Weight and value of the terms that look at the pictures alone."""
        terms: Terms = {}
        if self.l2_weight:
            terms["l2"] = (self.l2_weight, jnp.mean(jnp.square(images - made)))
        if self.perceptual is not None:
            value = self.perceptual.distance(constants["perceptual"], images, made)
            terms["perceptual"] = (self.perceptual.weight, value)
        return terms

    def train_metrics(
        self,
        terms: Terms,
        images: Images,
        made: Images,
        all_params: Mapping[str, Params],
        constants: Constants,
        step: Int[Array, ""],
    ) -> tuple[Float[Array, ""], Metrics]:
        """The weighted sum of `terms` and the adversarial one, and each of them unweighted.

        Metrics are means over pictures, unless there is an adversary.
        """
        if self.adversary is not None:
            terms = terms | {
                "adversarial": self.adversary.generator_term(
                    all_params[adversarial.NAME],
                    step,
                    made,
                    lambda made: self.picture_terms(images, made, constants),
                )
            }
        total = losses.weighted_sum(terms)
        metrics = {
            "loss": total,
            "mean_square_error": jnp.mean(jnp.square(images - jnp.clip(made, 0, 1))),
            **values(terms),
        }
        if self.adversary is not None:
            metrics["adversarial_weight"] = terms["adversarial"][0]
        return total, metrics

    @property
    def reads(self) -> Reads:
        """What the losses read. A discriminator compares pictures of the batch with each other."""
        return "examples" if self.adversary is None else "batch"

    def report(self, metrics: Metrics) -> Metrics:
        """What is reported of `train_metrics`: PSNR in place of the error."""
        rest = dict(metrics)
        return {"psnr": losses.psnr(rest.pop("mean_square_error")), **rest}

    def held_out_metrics(
        self, terms: Terms, images: Images, made: Images, params: Mapping[str, Params]
    ) -> Metrics:
        """Each term, the mean square error, and the discriminator's accuracies."""
        metrics = values(terms)
        metrics["mean_square_error"] = jnp.mean(jnp.square(images - jnp.clip(made, 0, 1)))
        if self.adversary is not None:
            metrics |= self.adversary.evaluate(params[adversarial.NAME], images, made)
        return metrics


def values(terms: Terms) -> Metrics:
    """The terms without their weights."""
    return {name: value for name, (_, value) in terms.items()}


def decibels(mean_square_error: Float[np.ndarray, ""]) -> float:
    """PSNR in dB of pictures in [0, 1]."""
    return float(-10 * np.log10(mean_square_error + 1e-12))


def as_float(images: UInt8[Array, "batch height width 3"]) -> Images:
    """[0, 255] -> [0, 1]."""
    return jnp.asarray(images, jnp.float32) / 255
