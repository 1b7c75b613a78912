"""A discriminator as the opponent of a network that makes pictures."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from babeldraw.models.discriminator import Discriminator
from babeldraw.objectives.base import Batch, Constants, Metrics, Params, Player
from babeldraw.objectives.losses import Terms, weighted_sum
from babeldraw.optimizers.config import OptimizerConfig
from babeldraw.ranges import Count, Weight, Whole
from babeldraw.sizes import height_and_width

NAME = "discriminator"
"""The player's name."""

Images = Float[Array, "batch height width 3"]

Pictures = Callable[[Mapping[str, Params], Constants, Batch], tuple[Images, Images]]
"""`pictures(all_params, constants, batch) -> (real, made)`, in [0, 1]; made ones may overshoot."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adversary:
    """Non-saturating logistic loss with a lazy R1 penalty (arXiv 1406.2661, 1801.04406).

    Attributes:
      weight: of the maker's adversarial loss; 0 leaves the discriminator out.
      ramp_steps: the weight rises linearly from 0 over this many steps; 0: full from the first.
      adaptive: multiply the weight by the ratio of the gradients' norms, of the other losses to
        the adversarial one, with respect to the made picture (VQGAN, arXiv 2012.09841, takes the
        last layer's weights instead); at most 10,000.
      r1_weight: gamma of `gamma / 2 * E |grad_x D(x)|^2` on real pictures in [-1, 1].
      r1_every: steps between penalties, each as many times as strong (StyleGAN2, arXiv 1912.04958).
    """

    discriminator: Discriminator
    optimizer: OptimizerConfig
    weight: Weight = 0.1
    ramp_steps: Whole = 0
    adaptive: bool = False
    r1_weight: Weight = 10.0
    r1_every: Count = 16

    def init(self, key: Key[Array, ""]) -> Params:
        """Fresh parameters of the discriminator, boxed."""
        sides = height_and_width(self.discriminator.image_size)
        return self.discriminator.init(key, jnp.zeros((1, *sides, 3)))["params"]

    def generator_loss(self, params: Params, images: Images) -> Float[Array, ""]:
        """`E softplus(-D(images))`: small when the discriminator takes them for real."""
        return jnp.mean(jax.nn.softplus(-self.discriminator.apply({"params": params}, images)))

    def generator_term(
        self,
        params: Params,
        step: Int[Array, ""],
        images: Images,
        other_terms: Callable[[Images], Terms],
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Weight at `step` and value of the maker's adversarial term.

        Args:
          params: of the discriminator.
          images: the made pictures.
          other_terms: the maker's other terms, as a function of the made pictures.
        """

        def own(images: Images) -> jax.Array:
            return self.generator_loss(params, images)

        def others(images: Images) -> jax.Array:
            return weighted_sum(other_terms(images))

        return self.generator_weight(step, others, own, images), own(images)

    def generator_weight(
        self,
        step: Int[Array, ""],
        other_loss: Callable[[Images], Float[Array, ""]],
        own_loss: Callable[[Images], Float[Array, ""]],
        images: Images,
    ) -> Float[Array, ""]:
        """What `generator_loss` is multiplied by at `step`; carries no gradient.

        Args:
          other_loss, own_loss: the other losses, and this one, as functions of the made pictures.
          images: the made pictures.
        """
        weight = jnp.float32(self.weight)
        if self.ramp_steps:
            weight *= jnp.minimum(1.0, step / self.ramp_steps)
        if self.adaptive:
            images = jax.lax.stop_gradient(images)
            norms = [jnp.linalg.norm(jax.grad(loss)(images)) for loss in (other_loss, own_loss)]
            weight *= jnp.minimum(norms[0] / (norms[1] + 1e-6), 1e4)
        fixed: jax.Array = jax.lax.stop_gradient(weight)
        return fixed

    def player(self, pictures: Pictures, layer_axes: Any) -> Player:
        """The discriminator, told which pictures to compare.

        To be placed before the maker, whose `forward` then makes the pictures once for both.
        """

        def loss(
            own: Params,
            all_params: Mapping[str, Params],
            constants: Constants,
            batch: Batch,
            key: Key[Array, ""],
            step: Int[Array, ""],
        ) -> tuple[Float[Array, ""], Metrics]:
            real, made = jax.lax.stop_gradient(pictures(all_params, constants, batch))
            total, metrics = self._compare(own, real, made)
            if self.r1_weight:
                penalty = jax.lax.cond(
                    step % self.r1_every == 0,
                    lambda params: self.r1_every * self._r1(params, real),
                    lambda params: jnp.float32(0),
                    own,
                )
                total += self.r1_weight / 2 * penalty
                metrics["r1"] = penalty
            return total, metrics

        return Player(NAME, loss, self.optimizer.make(layer_axes), self.optimizer.learning_rate)

    def evaluate(self, params: Params, real: Images, made: Images) -> Metrics:
        """`real_accuracy` and `made_accuracy`: what share of each is taken for what it is."""
        _, metrics = self._compare(params, real, made)
        return metrics

    def _compare(
        self, params: Params, real: Images, made: Images
    ) -> tuple[Float[Array, ""], Metrics]:
        # Two calls: the standard deviation over a batch would tell a mixture from a pure one.
        on_real = self.discriminator.apply({"params": params}, real)
        on_made = self.discriminator.apply({"params": params}, made)
        loss = jnp.mean(jax.nn.softplus(-on_real)) + jnp.mean(jax.nn.softplus(on_made))
        return loss, {
            "real_accuracy": jnp.mean(on_real > 0),
            "made_accuracy": jnp.mean(on_made < 0),
        }

    def _r1(self, params: Params, real: Images) -> Float[Array, ""]:
        def score(images: Images) -> Float[Array, ""]:
            return jnp.sum(self.discriminator.apply({"params": params}, images))

        # Published weights are for pictures in [-1, 1], where a derivative is half as large.
        gradient = jax.grad(score)(real) / 2
        return jnp.mean(jnp.sum(jnp.square(gradient), axis=(1, 2, 3)))
