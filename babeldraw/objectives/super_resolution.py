"""After stage 2: train a network that enlarges what the tokenizer reconstructs (the patent)."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from einops import reduce
from jaxtyping import Array, Float, Int, Key

from babeldraw.models.super_resolution import SuperResolver, enlarge
from babeldraw.models.vit_vqgan import ViTVQGAN
from babeldraw.objectives.average import averaged, followers, with_average
from babeldraw.objectives.base import (
    Batch,
    Constants,
    Metrics,
    Networks,
    Params,
    Player,
    Sheets,
)
from babeldraw.objectives.picture_maker import Images, PictureMaker, as_float, decibels
from babeldraw.optimizers.config import OptimizerConfig
from babeldraw.parallel.rules import unbox
from babeldraw.ranges import ShareBelowOne
from babeldraw.sampling.upscale import Upscaler
from babeldraw.sizes import height_and_width

NAME = "super_resolution"
"""The player's name."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SuperResolution(PictureMaker):
    """Weighted sum of L2, perceptual and adversarial losses on enlarged reconstructions.

    A picture of the batch is averaged down to the tokenizer's size, goes through the frozen
    tokenizer and back, and the network has to give the picture itself: it removes what the
    tokenizer leaves of its own, besides adding detail. The discriminator is of the enlarged size.

    Attributes:
      ema_decay: keep a moving average of the parameters, which is what evaluation and every user of
        the network then take; 0: off.
      tokenizer_params: gives the trained tokenizer's parameters, such as
        `checkpoints.TrainedTokenizer` of a run directory; called once, at the start of a run.
    """

    model: SuperResolver
    tokenizer: ViTVQGAN
    tokenizer_params: Callable[[], Params]
    optimizer: OptimizerConfig
    ema_decay: ShareBelowOne = 0.0

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the batch's pictures, and of the enlarged ones."""
        height, width = height_and_width(self.tokenizer.image_size)
        return self.model.factor * height, self.model.factor * width

    def batch_shapes(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        return {"image": jax.ShapeDtypeStruct((batch_size, *self.sides, 3), jnp.uint8)}

    def init(self, key: Key[Array, ""]) -> dict[str, Params]:
        sides = height_and_width(self.tokenizer.image_size)
        network = self.model.init(key, jnp.zeros((1, *sides, 3)))["params"]
        params = {NAME: network, **self.init_adversary(key)}
        return with_average(params, NAME, self.ema_decay)

    def constants(self) -> dict[str, Any]:
        return {**super().constants(), "tokenizer": self.tokenizer_params()}

    def abstract_constants(self) -> dict[str, Any]:
        sides = height_and_width(self.tokenizer.image_size)

        def init() -> Any:  # Arrays are made inside: the mesh may be one of absent devices.
            return self.tokenizer.init(jax.random.key(0), jnp.zeros((1, *sides, 3)))

        return {**super().abstract_constants(), "tokenizer": unbox(jax.eval_shape(init)["params"])}

    def upscaler(self, networks: Networks) -> Upscaler:
        return Upscaler(self.model, averaged(networks, NAME))

    def players(self) -> tuple[Player, ...]:
        optimizer = self.optimizer.make(self.layer_axes(NAME))
        before = self.adversary_players()
        forward = self.forward if before else None
        player = Player(
            NAME,
            self.loss,
            optimizer,
            self.optimizer.learning_rate,
            forward=forward,
            reads=self.reads,
            report=self.report,
        )
        return *before, player, *followers(NAME, self.ema_decay)

    def real_and_made(
        self, params: Mapping[str, Params], constants: Constants, batch: Batch
    ) -> tuple[Images, Images]:
        made = self.forward(params[NAME], constants, batch)
        return as_float(batch["image"]), made["made_image"]

    def forward(self, params: Params, constants: Constants, batch: Batch) -> dict[str, jax.Array]:
        """`made_image`: the enlarged picture."""
        if "made_image" in batch:
            return {"made_image": batch["made_image"]}
        small = self.reconstruct(constants, as_float(batch["image"]))
        return {"made_image": self._enlarge(params, small)}

    def reconstruct(self, constants: Constants, images: Images) -> Images:
        """Pictures of the batch, averaged down and passed through the tokenizer; in [0, 1]."""
        factor = self.model.factor
        small = reduce(images, "b (h p) (w q) c -> b h w c", "mean", p=factor, q=factor)
        tokenizer = self.tokenizer.clone(execution=self.execution.sequential)
        variables = {"params": constants["tokenizer"]}
        tokens = tokenizer.apply(variables, small, method="encode")
        pictures: Images = tokenizer.apply(variables, tokens, method="decode")
        return jax.lax.stop_gradient(pictures)

    def loss(
        self,
        params: Params,
        all_params: Mapping[str, Params],
        constants: Constants,
        batch: Batch,
        key: Key[Array, ""],
        step: Int[Array, ""],
    ) -> tuple[Float[Array, ""], Metrics]:
        """The weighted sum; metrics hold each unweighted term and the mean square error."""
        images = as_float(batch["image"])
        made = self.forward(params, constants, batch)["made_image"]
        terms = self.picture_terms(images, made, constants)
        return self.train_metrics(terms, images, made, all_params, constants, step)

    def evaluate(
        self, params: Mapping[str, Params], constants: Constants, batch: Batch, key: Key[Array, ""]
    ) -> Metrics:
        """Each term, and the mean square error of ours and of the bilinear enlargement."""
        images = as_float(batch["image"])
        small = self.reconstruct(constants, images)
        made = self._enlarge(averaged(params, NAME), small)
        plain = enlarge(small, self.model.factor)
        terms = self.picture_terms(images, made, constants)
        metrics = self.held_out_metrics(terms, images, made, params)
        return metrics | {"bilinear_mean_square_error": jnp.mean(jnp.square(images - plain))}

    def summarize(self, means: Mapping[str, np.ndarray]) -> dict[str, float]:
        """`psnr` and `bilinear_psnr` in dB in place of the errors: the gap is what was learned."""
        rest = dict(means)
        errors = {
            "psnr": rest.pop("mean_square_error"),
            "bilinear_psnr": rest.pop("bilinear_mean_square_error"),
        }
        return {
            **{name: decibels(error) for name, error in errors.items()},
            **{name: float(value) for name, value in rest.items()},
        }

    def pictures(
        self, params: Mapping[str, Params], constants: Constants, batch: Batch, key: Key[Array, ""]
    ) -> Sheets:
        """`enlargements`: picture, bilinear one of its reconstruction, ours, |picture - ours|."""
        images = as_float(batch["image"])
        small = self.reconstruct(constants, images)
        made = jnp.clip(self._enlarge(averaged(params, NAME), small), 0, 1)
        plain = enlarge(small, self.model.factor)
        sheet = jnp.stack([images, plain, made, jnp.abs(images - made)], axis=1)
        return {"enlargements": jnp.round(sheet * 255).astype(jnp.uint8)}

    def sheet_columns(self) -> Mapping[str, Sequence[str]]:
        return {"enlargements": ("real", "enlarged evenly", "enlarged", "difference")}

    def _enlarge(self, params: Params, small: Images) -> Float[Array, "batch height2 width2 3"]:
        large: jax.Array = self.model.apply({"params": params}, small)
        return large
