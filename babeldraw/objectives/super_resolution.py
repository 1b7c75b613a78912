"""After stage 2: train a network that enlarges what the tokenizer reconstructs (the patent)."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from einops import reduce
from jaxtyping import Array, Float

from babeldraw.models.super_resolution import SuperResolver, enlarge
from babeldraw.models.vit_vqgan import ViTVQGAN
from babeldraw.objectives import adversarial, losses
from babeldraw.objectives.adversarial import Adversary
from babeldraw.objectives.base import (
    Batch,
    Constants,
    Metrics,
    Networks,
    Objective,
    Params,
    Player,
)
from babeldraw.objectives.losses import Terms
from babeldraw.objectives.perceptual import Perceptual
from babeldraw.objectives.tokenizer import as_float
from babeldraw.optimizers.config import OptimizerConfig
from babeldraw.parallel.rules import unbox
from babeldraw.sampling.upscale import Upscaler

NAME = "super_resolution"
"""The player's name."""

Images = Float[Array, "batch height width 3"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SuperResolution(Objective):
    """Weighted sum of L2, perceptual and adversarial losses on enlarged reconstructions.

    A picture of the batch is averaged down to the tokenizer's size, goes through the frozen
    tokenizer and back, and the network has to give the picture itself: it removes what the
    tokenizer leaves of its own, besides adding detail. A term whose weight is 0 is not computed.

    Attributes:
      tokenizer_params: gives the trained tokenizer's parameters, such as
        `checkpoints.load_tokenizer` of a run directory; called once, at the start of a run.
      perceptual: distance in a frozen network's features; None: off.
      adversary: the discriminator, of the enlarged size; None: off.
    """

    model: SuperResolver
    tokenizer: ViTVQGAN
    tokenizer_params: Callable[[], Params]
    optimizer: OptimizerConfig
    l2_weight: float = 1.0
    perceptual: Perceptual | None = None
    adversary: Adversary | None = None

    def __post_init__(self) -> None:
        # What has no weight is taken out here, once.
        for part in ("perceptual", "adversary"):
            if getattr(self, part) is not None and not getattr(self, part).weight:
                object.__setattr__(self, part, None)

    @property
    def image_size(self) -> int:
        """Pixels a side of the batch's pictures, and of the enlarged ones."""
        return self.model.factor * self.tokenizer.image_size

    def batch_shapes(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        size = self.image_size
        return {"image": jax.ShapeDtypeStruct((batch_size, size, size, 3), jnp.uint8)}

    def init(self, key: jax.Array) -> dict[str, Params]:
        size = self.tokenizer.image_size
        params = {NAME: self.model.init(key, jnp.zeros((1, size, size, 3)))["params"]}
        if self.adversary is not None:
            params[adversarial.NAME] = self.adversary.init(jax.random.fold_in(key, 1))
        return params

    def constants(self) -> dict[str, Any]:
        constants = {"tokenizer": self.tokenizer_params()}
        if self.perceptual is not None:
            constants["perceptual"] = self.perceptual.params()
        return constants

    def abstract_constants(self) -> dict[str, Any]:
        size = self.tokenizer.image_size

        def init() -> Any:  # Arrays are made inside: the mesh may be one of absent devices.
            return self.tokenizer.init(jax.random.key(0), jnp.zeros((1, size, size, 3)))

        constants = {"tokenizer": unbox(jax.eval_shape(init)["params"])}
        if self.perceptual is not None:
            constants["perceptual"] = jax.eval_shape(self.perceptual.params)
        return constants

    def upscaler(self, networks: Networks) -> Upscaler:
        return Upscaler(self.model, networks[NAME])

    def players(self) -> tuple[Player, ...]:
        optimizer = self.optimizer.make(self.layer_axes(NAME))
        player = Player(NAME, self.loss, optimizer, self.optimizer.learning_rate)
        if self.adversary is None:
            return (player,)

        def real_and_made(
            params: Mapping[str, Params], constants: Constants, batch: Batch
        ) -> tuple[Images, Images]:
            images = as_float(batch["image"])
            return images, self._enlarge(params[NAME], self.reconstruct(constants, images))

        axes = self.layer_axes(adversarial.NAME)
        return self.adversary.player(real_and_made, axes), player

    def reconstruct(self, constants: Constants, images: Images) -> Images:
        """Pictures of the batch, averaged down and passed through the tokenizer; in [0, 1]."""
        factor = self.model.factor
        small = reduce(images, "b (h p) (w q) c -> b h w c", "mean", p=factor, q=factor)
        tokenizer = self.tokenizer.clone(execution=self.execution.sequential)
        variables = {"params": constants["tokenizer"]}
        tokens = tokenizer.apply(variables, small, method="encode")
        return jax.lax.stop_gradient(tokenizer.apply(variables, tokens, method="decode"))

    def loss(
        self,
        params: Params,
        all_params: Mapping[str, Params],
        constants: Constants,
        batch: Batch,
        key: jax.Array,
        step: jax.Array,
    ) -> tuple[jax.Array, Metrics]:
        """The weighted sum; metrics hold each unweighted term and PSNR."""
        images = as_float(batch["image"])
        made = self._enlarge(params, self.reconstruct(constants, images))
        terms = self._terms(images, made, constants)
        if self.adversary is not None:
            terms["adversarial"] = self.adversary.generator_term(
                all_params[adversarial.NAME],
                step,
                made,
                lambda made: self._terms(images, made, constants),
            )
        total = losses.weighted_sum(terms)
        return total, {
            "loss": total,
            "psnr": losses.psnr(images, jnp.clip(made, 0, 1)),
            **{name: value for name, (_, value) in terms.items()},
        }

    def evaluate(
        self, params: Mapping[str, Params], constants: Constants, batch: Batch, key: jax.Array
    ) -> Metrics:
        """Each term, and the mean square error of ours and of the bilinear enlargement."""
        images = as_float(batch["image"])
        small = self.reconstruct(constants, images)
        made = self._enlarge(params[NAME], small)
        plain = enlarge(small, self.model.factor)
        metrics = {name: value for name, (_, value) in self._terms(images, made, constants).items()}
        metrics["mean_square_error"] = jnp.mean(jnp.square(images - jnp.clip(made, 0, 1)))
        metrics["bilinear_mean_square_error"] = jnp.mean(jnp.square(images - plain))
        if self.adversary is not None:
            metrics |= self.adversary.evaluate(params[adversarial.NAME], images, made)
        return metrics

    def summarize(self, means: Mapping[str, np.ndarray]) -> dict[str, float]:
        """`psnr` and `bilinear_psnr` in dB in place of the errors: the gap is what was learned."""
        rest = dict(means)
        errors = {
            "psnr": rest.pop("mean_square_error"),
            "bilinear_psnr": rest.pop("bilinear_mean_square_error"),
        }
        return {
            **{name: float(-10 * np.log10(error + 1e-12)) for name, error in errors.items()},
            **{name: float(value) for name, value in rest.items()},
        }

    def pictures(
        self, params: Mapping[str, Params], constants: Constants, batch: Batch, key: jax.Array
    ) -> dict[str, jax.Array]:
        """`enlargements`: picture, bilinear one of its reconstruction, ours, |picture - ours|."""
        images = as_float(batch["image"])
        small = self.reconstruct(constants, images)
        made = jnp.clip(self._enlarge(params[NAME], small), 0, 1)
        plain = enlarge(small, self.model.factor)
        sheet = jnp.stack([images, plain, made, jnp.abs(images - made)], axis=1)
        return {"enlargements": jnp.round(sheet * 255).astype(jnp.uint8)}

    def _enlarge(self, params: Params, small: Images) -> Float[Array, "batch height2 width2 3"]:
        return self.model.apply({"params": params}, small)

    def _terms(self, images: Images, made: Images, constants: Constants) -> Terms:
        """Those that look at the pictures alone."""
        terms: Terms = {}
        if self.l2_weight:
            terms["l2"] = (self.l2_weight, jnp.mean(jnp.square(images - made)))
        if self.perceptual is not None:
            value = self.perceptual.distance(constants["perceptual"], images, made)
            terms["perceptual"] = (self.perceptual.weight, value)
        return terms
