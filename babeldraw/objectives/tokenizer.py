"""Stage 1: train ViT-VQGAN to rebuild pictures from its own tokens."""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from babeldraw.models.vit_vqgan import ViTVQGAN
from babeldraw.objectives import losses
from babeldraw.objectives.base import Batch, Constants, Metrics, Objective, Params, Player
from babeldraw.optimizers.config import OptimizerConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tokenizer(Objective):
    """Weighted sum of L2, logit-Laplace and VQ losses (weights of arXiv 2110.04627).

    A term whose weight is 0 is not computed.
    """

    model: ViTVQGAN
    optimizer: OptimizerConfig
    l2_weight: float = 1.0
    logit_laplace_weight: float = 0.1
    vq_weight: float = 1.0
    commitment_weight: float = 0.25

    @property
    def network(self) -> ViTVQGAN:
        """The model, executed as the machine file says."""
        return self.model.clone(execution=self.execution.sequential)

    def batch_shapes(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        size = self.model.image_size
        return {"image": jax.ShapeDtypeStruct((batch_size, size, size, 3), jnp.uint8)}

    def init(self, key: jax.Array) -> dict[str, Params]:
        images = jnp.zeros((1, self.model.image_size, self.model.image_size, 3))
        return {"tokenizer": self.network.init(key, images)["params"]}

    def players(self) -> tuple[Player, ...]:
        return (
            Player(
                "tokenizer",
                self.loss,
                self.optimizer.make(self.layer_axes("tokenizer")),
                self.optimizer.learning_rate,
            ),
        )

    def loss(
        self,
        params: Params,
        all_params: Mapping[str, Params],
        constants: Constants,
        batch: Batch,
        key: jax.Array,
    ) -> tuple[jax.Array, Metrics]:
        """The weighted sum; metrics hold each unweighted term, PSNR and codebook use."""
        images = batch["image"].astype(jnp.float32) / 255
        output, z, codes, tokens = self.network.apply({"params": params}, images)
        decoded = self.model.to_image(output)
        terms = {
            "vq": (self.vq_weight, losses.vector_quantization(z, codes, self.commitment_weight))
        }
        if self.l2_weight:
            terms["l2"] = (self.l2_weight, jnp.mean(jnp.square(images - decoded)))
        if self.logit_laplace_weight and self.model.output == "logit_laplace":
            terms["logit_laplace"] = (
                self.logit_laplace_weight,
                losses.logit_laplace(images, output),
            )
        total = jnp.sum(jnp.stack([weight * value for weight, value in terms.values()]))
        usage, perplexity = losses.codebook_usage(tokens, self.model.codebook_size)
        metrics = {
            "loss": total,
            "psnr": losses.psnr(images, jnp.clip(decoded, 0, 1)),
            "codebook_usage": usage,
            "perplexity": perplexity,
            **{name: value for name, (_, value) in terms.items()},
        }
        return total, metrics

    def pictures(
        self, params: Mapping[str, Params], constants: Constants, batch: Batch, key: jax.Array
    ) -> dict[str, jax.Array]:
        """`reconstructions`: input, reconstruction, absolute difference."""
        images = batch["image"].astype(jnp.float32) / 255
        variables = {"params": params["tokenizer"]}
        network = self.network
        tokens = network.apply(variables, images, method=network.encode)
        decoded = network.apply(variables, tokens, method=network.decode)
        sheet = jnp.stack([images, decoded, jnp.abs(images - decoded)], axis=1)
        return {"reconstructions": jnp.round(sheet * 255).astype(jnp.uint8)}
