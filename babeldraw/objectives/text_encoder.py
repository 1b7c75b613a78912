"""A text encoder that reads before it is to draw: masked tokens, and pictures that fit a text.

The patent warm-starts stage 2 from one that was trained on text (BERT's objective on C4) and on
pairs of pictures and texts (contrastive). `INIT_FROM` takes it there: docs/text_encoder.md.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from babeldraw.errors import UserError
from babeldraw.models.encoder_decoder import example_keys
from babeldraw.models.flops import Flops, masked_text_flops
from babeldraw.models.picture_encoder import PictureEncoder, TokenPictureEncoder
from babeldraw.models.text_pretraining import TextPretraining
from babeldraw.objectives.average import averaged, followers, with_average
from babeldraw.objectives.base import (
    Batch,
    Constants,
    Metrics,
    Networks,
    Objective,
    Params,
    Player,
    check_tokens,
)
from babeldraw.objectives.contrastive import choices, contrastive_loss, equal_texts, similarities
from babeldraw.objectives.masking import Masking, masked_loss
from babeldraw.objectives.picture_maker import as_float
from babeldraw.optimizers.config import OptimizerConfig
from babeldraw.ranges import ShareBelowOne, Weight
from babeldraw.sizes import height_and_width

NAME = "text_encoder"
"""The player's name."""

MASKING, MASKED_DROPOUT, TEXT_DROPOUT, IMAGE_DROPOUT = range(4)
"""What a step draws noise for; each has keys of its own."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextEncoding(Objective):
    """Hidden tokens are to be guessed, and texts are to find their pictures in the whole batch.

    Either weight may be 0: what it is of is then neither trained nor read.

    Attributes:
      masking: which tokens are hidden.
      texts_apart: whether batches bring texts without pictures, too, as ``masked_tokens``: tokens
        of these are then hidden, and those of ``text_tokens`` are not.
      ema_decay: keep a moving average of the parameters, which evaluation and `INIT_FROM` then
        take; 0: off.
    """

    model: TextPretraining
    optimizer: OptimizerConfig
    masking: Masking = Masking()
    masked_weight: Weight = 1.0
    contrastive_weight: Weight = 0.0
    texts_apart: bool = False
    ema_decay: ShareBelowOne = 0.0

    def __post_init__(self) -> None:
        if not self.masked_weight and not self.contrastive_weight:
            raise UserError(
                "MASKED_WEIGHT and CONTRASTIVE_WEIGHT are both 0, and nothing would be learned: "
                "give one of them a weight."
            )
        if bool(self.contrastive_weight) != (self.model.pictures is not None):
            has = "no network" if self.model.pictures is None else "a network"
            raise UserError(
                f"CONTRASTIVE_WEIGHT is {self.contrastive_weight} and the model has {has} for "
                "pictures: take gin/runs/text_encoder.gin for texts alone, and "
                "text_encoder_pairs.gin or text_encoder_tokens.gin with pictures."
            )
        if self.texts_apart and not (self.masked_weight and self.contrastive_weight):
            raise UserError(
                "TEXTS_APART is True, and MASKED_WEIGHT or CONTRASTIVE_WEIGHT is 0, so that "
                "one kind of texts is read: leave TEXTS_APART out."
            )
        self._check_pictures(self.model.pictures)

    def _check_pictures(self, encoder: PictureEncoder | TokenPictureEncoder | None) -> None:
        if isinstance(encoder, TokenPictureEncoder):
            raise UserError(
                "TextEncoding compares texts with pixels, and TextPretraining.pictures reads "
                "tokens: use TextEncodingOnTokens, or a PictureEncoder."
            )

    @property
    def network(self) -> TextPretraining:
        """The model with what is trained of it, executed as the machine file says.

        It is data parallel over pipeline stages.
        """
        sequential = self.execution.sequential
        pictures = self.model.pictures
        if pictures is not None:
            pictures = pictures.clone(execution=sequential)
        network: TextPretraining = self.model.clone(
            execution=sequential, pictures=pictures, masked=bool(self.masked_weight)
        )
        return network

    def batch_shapes(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        text = jax.ShapeDtypeStruct((batch_size, self.model.text_length), jnp.int32)
        shapes = {"text_tokens": text}
        if self.texts_apart:
            shapes["masked_tokens"] = text
        if self.contrastive_weight:
            shapes |= self.picture_shapes(batch_size)
        return shapes

    def picture_shapes(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        """What batches bring of their pictures."""
        encoder = self.model.pictures
        assert isinstance(encoder, PictureEncoder)
        sides = height_and_width(encoder.image_size)
        return {"image": jax.ShapeDtypeStruct((batch_size, *sides, 3), jnp.uint8)}

    def read_pictures(self, constants: Constants, batch: Batch) -> Array:
        """What the model's network of pictures takes."""
        return as_float(batch["image"])

    def check_batch(self, batch: Mapping[str, np.ndarray]) -> None:
        for entry in ("text_tokens", "masked_tokens")[: 1 + self.texts_apart]:
            check_tokens(batch[entry], self.model.text_vocab_size)

    def flops(self) -> Flops | None:
        return None if self.contrastive_weight else masked_text_flops(self.model)

    def init(self, key: Key[Array, ""]) -> dict[str, Params]:
        text = jnp.zeros((1, self.model.text_length), jnp.int32)
        variables = self.network.init(key, text, text == 1, text, self._no_pictures())
        return with_average({NAME: variables["params"]}, NAME, self.ema_decay)

    def _no_pictures(self) -> Array | None:
        encoder = self.model.pictures
        if encoder is None:
            return None
        if isinstance(encoder, TokenPictureEncoder):
            return jnp.zeros((1, encoder.rows * encoder.columns), jnp.int32)
        return jnp.zeros((1, *height_and_width(encoder.image_size), 3))

    def embeddings(self, networks: Networks, batch: Batch) -> tuple[Array, Array]:
        if not self.contrastive_weight:
            return super().embeddings(networks, batch)
        variables = {"params": averaged(networks, NAME)}
        pictures = self.read_pictures(networks, batch)
        return (
            self.network.apply(variables, pictures, method="encode_image"),
            self.network.apply(variables, batch["text_tokens"], method="encode_text"),
        )

    def guesses(
        self, networks: Networks, text_tokens: Array, key: Key[Array, ""]
    ) -> tuple[Array, Array]:
        """Hides tokens of texts: the most probable one at each place, and which are to be guessed.

        Both `[batch, text]`. Traceable.
        """
        keys = example_keys(key, text_tokens.shape[0])
        seen = self.masking(text_tokens, keys, self.model.text_vocab_size)
        variables = {"params": averaged(networks, NAME)}
        logits = self.network.apply(variables, seen.tokens, seen.hidden, method="masked_logits")
        return jnp.argmax(logits, axis=-1), seen.guessed

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
        step: Any,
    ) -> tuple[Array, Metrics]:
        """The weighted sum; what is hidden, and dropout, are drawn from `key`."""
        metrics = self._measure(params, constants, batch, key, dropout=True)
        return metrics["loss"], metrics

    def evaluate(
        self, params: Mapping[str, Params], constants: Constants, batch: Batch, key: Key[Array, ""]
    ) -> Metrics:
        """The losses without dropout, and the share that is right of three kinds of choice:

        a hidden token among all of the vocabulary, the text of a picture among those of the batch,
        and the picture of a text.
        """
        return self._measure(averaged(params, NAME), constants, batch, key, dropout=False)

    def _measure(
        self, params: Params, constants: Constants, batch: Batch, key: Key[Array, ""], dropout: bool
    ) -> Metrics:
        rows = batch["text_tokens"].shape[0]

        def drawn(purpose: int) -> Key[Array, "batch"]:
            return example_keys(jax.random.fold_in(key, purpose), rows)

        def keys(purpose: int) -> Key[Array, "batch"] | None:
            return drawn(purpose) if dropout else None

        def apply(method: str, *inputs: Any) -> Any:
            return self.network.apply({"params": params}, *inputs, method=method)

        metrics: Metrics = {}
        total = jnp.float32(0)
        if self.masked_weight:
            text = batch["masked_tokens" if self.texts_apart else "text_tokens"]
            seen = self.masking(text, drawn(MASKING), self.model.text_vocab_size)
            logits = apply("masked_logits", seen.tokens, seen.hidden, keys(MASKED_DROPOUT))
            masked, right = masked_loss(logits, text, seen.guessed)
            total += self.masked_weight * masked
            metrics |= {"masked": masked, "masked_accuracy": right}
        if self.contrastive_weight:
            text = batch["text_tokens"]
            of_text = apply("encode_text", text, keys(TEXT_DROPOUT))
            pictures = self.read_pictures(constants, batch)
            of_image = apply("encode_image", pictures, keys(IMAGE_DROPOUT))
            scores = similarities(of_image, of_text, apply("similarity_scale"))
            same = equal_texts(text)
            contrastive = contrastive_loss(scores, same)
            total += self.contrastive_weight * contrastive
            metrics |= {"contrastive": contrastive, **choices(scores, same)}
        return {"loss": total, **metrics}
