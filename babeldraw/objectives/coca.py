"""Contrastive and captioning losses on the pictures and texts of stage 2 (arXiv 2205.01917)."""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from babeldraw.models.coca import CoCa
from babeldraw.models.encoder_decoder import example_keys
from babeldraw.objectives.average import averaged, followers, with_average
from babeldraw.objectives.base import (
    Batch,
    Constants,
    Metrics,
    Networks,
    Objective,
    Params,
    Player,
    check_text_tokens,
)
from babeldraw.objectives.contrastive import choices, contrastive_loss, similarities
from babeldraw.objectives.picture_maker import as_float
from babeldraw.optimizers.config import OptimizerConfig
from babeldraw.ranges import ShareBelowOne, Weight
from babeldraw.sampling import features
from babeldraw.sampling.features import BlockFeatures
from babeldraw.sampling.rerank import Reranker
from babeldraw.sizes import height_and_width

NAME = "coca"
"""The player's name."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContrastiveCaptioner(Objective):
    """Each picture is to find its text among those of the whole batch, each text its picture, and
    each text is to be predicted from its picture. The paper's weights are 1 and 2.

    Attributes:
      ema_decay: keep a moving average of the parameters, which is what evaluation and every user of
        the network then take; 0: off.
    """

    model: CoCa
    optimizer: OptimizerConfig
    contrastive_weight: Weight = 1.0
    captioning_weight: Weight = 2.0
    ema_decay: ShareBelowOne = 0.0

    @property
    def network(self) -> CoCa:
        """The model, executed as the machine file says; data parallel over pipeline stages."""
        network: CoCa = self.model.clone(execution=self.execution.sequential)
        return network

    def batch_shapes(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        sides = height_and_width(self.model.image_size)
        return {
            "text_tokens": jax.ShapeDtypeStruct((batch_size, self.model.text_length), jnp.int32),
            "image": jax.ShapeDtypeStruct((batch_size, *sides, 3), jnp.uint8),
        }

    def check_batch(self, batch: Mapping[str, np.ndarray]) -> None:
        check_text_tokens(batch, self.model.text_vocab_size)

    def init(self, key: Key[Array, ""]) -> dict[str, Params]:
        sides = height_and_width(self.model.image_size)
        text = jnp.zeros((1, self.model.text_length), jnp.int32)
        variables = self.network.init(key, jnp.zeros((1, *sides, 3)), text)
        return with_average({NAME: variables["params"]}, NAME, self.ema_decay)

    def reranker(self, networks: Networks, batch_size: int = 16) -> Reranker:
        return Reranker(self.model, averaged(networks, NAME), batch_size)

    def features(self, networks: Networks, batch_size: int = 16) -> dict[str, BlockFeatures]:
        params = averaged(networks, NAME)
        return {"picture encoder": features.of_captioner(self.model, params, batch_size)}

    def embeddings(self, networks: Networks, batch: Batch) -> tuple[jax.Array, jax.Array]:
        variables = {"params": averaged(networks, NAME)}
        images, text = as_float(batch["image"]), batch["text_tokens"]
        of_image, of_text, _ = self.network.apply(variables, images, text)
        return of_image, of_text

    def players(self) -> tuple[Player, ...]:
        optimizer = self.optimizer.make(self.layer_axes(NAME))
        player = Player(NAME, self.train_loss, optimizer, self.optimizer.learning_rate)
        return player, *followers(NAME, self.ema_decay)

    def train_loss(
        self,
        params: Params,
        all_params: Mapping[str, Params],
        constants: Constants,
        batch: Batch,
        key: Key[Array, ""],
        step: Int[Array, ""],
    ) -> tuple[Float[Array, ""], Metrics]:
        """The weighted sum, with dropout drawn from `key`."""
        metrics = self._measure(params, batch, example_keys(key, batch["image"].shape[0]))
        return metrics["loss"], metrics

    def evaluate(
        self, params: Mapping[str, Params], constants: Constants, batch: Batch, key: Key[Array, ""]
    ) -> Metrics:
        """The losses without dropout, and the share that is right of three kinds of choice:

        the text of a picture among those of the batch, the picture of a text, and the next token of
        a text with its picture and the tokens before.
        """
        return self._measure(averaged(params, NAME), batch, None)

    def _measure(self, params: Params, batch: Batch, keys: jax.Array | None) -> Metrics:
        network, variables = self.network, {"params": params}
        images, text = as_float(batch["image"]), batch["text_tokens"]
        of_image, of_text, logits = network.apply(variables, images, text, keys)
        scale = network.apply(variables, method="similarity_scale")
        scores = similarities(of_image, of_text, scale)
        contrastive = contrastive_loss(scores)
        captioning = caption_loss(logits, text)
        total = self.contrastive_weight * contrastive + self.captioning_weight * captioning
        real = text != 0
        return {
            "loss": total,
            "contrastive": contrastive,
            "captioning": captioning,
            **choices(scores),
            "caption_accuracy": jnp.sum((jnp.argmax(logits, axis=-1) == text) & real)
            / jnp.sum(real),
        }


def caption_loss(
    logits: Float[Array, "batch text vocab"], text_tokens: Int[Array, "batch text"]
) -> Float[Array, ""]:
    """Mean cross-entropy in nats a token, over all tokens but padding."""
    nats = jax.nn.log_softmax(logits, axis=-1)
    picked = jnp.take_along_axis(nats, text_tokens[..., None], axis=-1)[..., 0]
    real = text_tokens != 0
    return -jnp.sum(picked * real) / jnp.sum(real)
