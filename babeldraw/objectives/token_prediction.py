"""What all of stage 2 shares: predict the tokens of a picture, whatever else is known of it.

A subclass says what the condition of a picture is (a text, a class, nothing) and how the model
reads it; leaving it out, noise, losses, average and sheets of pictures are the same for all.
"""

import abc
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from babeldraw.errors import UserError
from babeldraw.models.encoder_decoder import example_keys
from babeldraw.models.image_decoder import ImageDecoder
from babeldraw.objectives import losses
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
from babeldraw.objectives.tokenized_pictures import TokenizedPictures
from babeldraw.optimizers.config import OptimizerConfig
from babeldraw.parallel.parts import places
from babeldraw.parallel.rules import drawing_rules, in_sequence, unbox
from babeldraw.ranges import Share, ShareBelowOne, Weight
from babeldraw.sampling import features
from babeldraw.sampling.codec import decode_pictures
from babeldraw.sampling.features import BlockFeatures
from babeldraw.sampling.generate import generate_tokens
from babeldraw.sampling.pictures import Sampler

DROPOUT, CONDITION_DROPOUT, TOKEN_NOISE, PICTURE_DROPOUT = range(4)
"""What a step draws noise for; each has keys of its own."""

Condition = Int[Array, "batch *text"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenPrediction(TokenizedPictures):
    """Next-token cross-entropy over image tokens.

    Attributes:
      token_noise_rate: share of the decoder's input tokens replaced by random codes. A small model
        otherwise learns to continue the pictures that it has seen before it learns to read the
        condition. Beyond the patent.
      picture_dropout_rate: share of the training pictures of which the decoder sees nothing: all
        its input tokens are random codes, and the condition alone tells what is to be drawn. Where
        each thing has a few pictures alone, a model knows a picture by its first tokens, and hardly
        needs to read what it is. Beyond the patent.
      ema_decay: keep a moving average of the parameters, which evaluation and samples then take; 0:
        off.
      z_loss: weight of `losses.z_loss`, which keeps logits from drifting; 0: off.
    """

    model: ImageDecoder
    optimizer: OptimizerConfig
    token_noise_rate: Share = 0.0
    picture_dropout_rate: Share = 0.0
    ema_decay: ShareBelowOne = 0.0
    z_loss: Weight = 0.0

    player: ClassVar[str]
    """The name of the one that is trained."""
    condition: ClassVar[str]
    """What metrics call it, as in `loss_without_prompt` and `prompt_gap`."""
    condition_entry: ClassVar[str]
    """The entry of batches that holds it."""
    no_condition: ClassVar[int]
    """What fills that entry where nothing is known."""

    def __post_init__(self) -> None:
        drawn, given = (self.model.rows, self.model.columns), self.tokenizer.grid
        if drawn != given:
            rows, columns = given
            raise UserError(
                f"The tokenizer has {rows} rows and {columns} columns of tokens, and the "
                f"Transformer {drawn[0]} and {drawn[1]}: set {type(self.model).__name__}.rows and "
                f"columns to the tokenizer's, as gin/runs/{self.player}.gin does."
            )

    @abc.abstractmethod
    def condition_shapes(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        """`condition_entry` of batches; nothing where the model reads no condition."""

    @abc.abstractmethod
    def model_inputs(self, condition: Condition | None, tokens: Int[Array, "batch n"]) -> Any:
        """What the model takes before the dropout keys."""

    @abc.abstractmethod
    def prompts(self, condition: Condition | None, count: int) -> Int[Array, "count *text"]:
        """What `generate_tokens` takes."""

    @property
    def condition_dropout_rate(self) -> float:
        """Share of the conditions that training leaves out."""
        return 0.0

    @property
    def network(self) -> Any:
        """The model, executed as the machine file says."""
        return self.model.clone(execution=self.execution)

    def batch_shapes(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        return {**self.condition_shapes(batch_size), **self.picture_shapes(batch_size)}

    def check_batch(self, batch: Mapping[str, np.ndarray]) -> None:
        largest = int(np.max(batch.get("image_tokens", 0), initial=0))
        if largest >= self.model.codebook_size:
            raise UserError(
                f"The pictures have token {largest}, and the model knows "
                f"{self.model.codebook_size}: make the tokens again, they are damaged."
            )

    def init(self, key: Key[Array, ""]) -> dict[str, Params]:
        shapes = self.condition_shapes(1)
        condition = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
        tokens = jnp.zeros((1, self.model.num_tokens), jnp.int32)
        inputs = self.model_inputs(condition.get(self.condition_entry), tokens)
        params = {self.player: self.network.init(key, *inputs)["params"]}
        return with_average(params, self.player, self.ema_decay)

    def sampler(self, networks: Networks, **settings: Any) -> Sampler:
        params, tokenizer_params = averaged(networks, self.player), networks["tokenizer"]
        return Sampler(self.model, params, self.tokenizer, tokenizer_params, **settings)

    def features(self, networks: Networks, batch_size: int = 16) -> dict[str, BlockFeatures]:
        """Of the Transformer, which is told nothing of the picture, and of the frozen tokenizer."""
        params, frozen = averaged(networks, self.player), networks["tokenizer"]
        return {
            "decoder": features.of_decoder(self.model, params, self.tokenizer, frozen, batch_size),
            "tokenizer": features.of_tokenizer(self.tokenizer, frozen, batch_size),
        }

    def players(self) -> tuple[Player, ...]:
        return (
            Player(
                self.player,
                self.train_loss,
                self.optimizer.make(self.layer_axes(self.player)),
                self.optimizer.learning_rate,
                reads="examples",
            ),
            *followers(self.player, self.ema_decay),
        )

    def _logits(
        self,
        params: Params,
        condition: Condition | None,
        tokens: Int[Array, "batch n"],
        keys: Key[Array, "batch"] | None = None,
    ) -> Float[Array, "batch n codebook"]:
        inputs = self.model_inputs(condition, tokens)
        logits: jax.Array = self.network.apply({"params": params}, *inputs, keys)
        return logits

    def train_loss(
        self,
        params: Params,
        all_params: Mapping[str, Params],
        constants: Constants,
        batch: Batch,
        key: Key[Array, ""],
        step: Int[Array, ""],
    ) -> tuple[Float[Array, ""], Metrics]:
        """Cross-entropy in nats a token, with the z-loss; all that is random is of `key`.

        Metrics have the cross-entropy as `loss`, and the z-loss, if any, without its weight.
        """
        tokens = self.image_tokens(constants, batch)
        condition = batch.get(self.condition_entry)

        def keys(purpose: int) -> Key[Array, "batch"]:
            return example_keys(jax.random.fold_in(key, purpose), places(batch))

        if condition is not None and self.condition_dropout_rate:
            drop = jax.vmap(lambda k: jax.random.bernoulli(k, self.condition_dropout_rate))(
                keys(CONDITION_DROPOUT)
            )
            drop = drop.reshape(-1, *[1] * (condition.ndim - 1))
            condition = jnp.where(drop, self.no_condition, condition)
        inputs = tokens
        if self.token_noise_rate or self.picture_dropout_rate:
            hidden = jnp.zeros(len(tokens), bool)
            if self.picture_dropout_rate:
                hidden = jax.vmap(lambda k: jax.random.bernoulli(k, self.picture_dropout_rate))(
                    keys(PICTURE_DROPOUT)
                )
            inputs = self._with_noise(tokens, hidden, keys(TOKEN_NOISE))
        logits = self._logits(params, condition, inputs, keys(DROPOUT))
        loss = losses.token_cross_entropy(logits, tokens)
        if not self.z_loss:
            return loss, {"loss": loss}
        z_loss = losses.z_loss(logits)
        return loss + self.z_loss * z_loss, {"loss": loss, "z_loss": z_loss}

    def _with_noise(
        self, tokens: Int[Array, "batch n"], hidden: Bool[Array, "batch"], keys: Key[Array, "batch"]
    ) -> Int[Array, "batch n"]:
        """Random codes in the place of some tokens, and of all of `hidden` pictures."""

        def noisy(tokens: jax.Array, hidden: jax.Array, key: Key[Array, ""]) -> jax.Array:
            where, what = jax.random.split(key)
            replaced = jax.random.bernoulli(where, self.token_noise_rate, tokens.shape)
            random = jax.random.randint(what, tokens.shape, 0, self.model.codebook_size)
            return jnp.where(replaced | hidden, random, tokens)

        return jax.vmap(noisy)(tokens, hidden, keys)

    def evaluate(
        self, params: Mapping[str, Params], constants: Constants, batch: Batch, key: Key[Array, ""]
    ) -> Metrics:
        """Cross-entropy without dropout, with the condition and, if there is one, without it."""
        tokens = self.image_tokens(constants, batch)
        trained = averaged(params, self.player)
        condition = batch.get(self.condition_entry)
        loss = losses.token_cross_entropy(self._logits(trained, condition, tokens), tokens)
        if condition is None:
            return {"loss": loss}
        nothing = jnp.full_like(condition, self.no_condition)
        without = losses.token_cross_entropy(self._logits(trained, nothing, tokens), tokens)
        return {"loss": loss, f"loss_without_{self.condition}": without}

    def summarize(self, means: Mapping[str, np.ndarray]) -> dict[str, float]:
        """With `prompt_gap` or `class_gap`: how many nats a token the condition is worth.

        The loss without it minus the loss with it: near 0 where it is not read.
        """
        values = super().summarize(means)
        without = f"loss_without_{self.condition}"
        if without not in values:
            return values
        return values | {f"{self.condition}_gap": values[without] - values["loss"]}

    @property
    def num_parameters(self) -> int:
        """Of the model."""
        boxes = unbox(self.abstract_params[self.player])
        return sum(math.prod(array.shape) for array in jax.tree.leaves(boxes))

    def pictures(
        self, params: Mapping[str, Params], constants: Constants, batch: Batch, key: Key[Array, ""]
    ) -> Sheets:
        """`samples`: each picture, what its tokens hold of it, and what is drawn of its condition.

        Drawn as `babeldraw sample` draws without settings, in the fewest steps that the model's
        inputs allow. Where batches bring tokens, there is no first column.
        """
        boxes = self.abstract_params[self.player]
        trained = in_sequence(averaged(params, self.player), boxes)
        tokens = self.image_tokens(constants, batch)
        # A row's place keys its noise, whatever the number of rows.
        count = tokens.shape[0]
        prompts = self.prompts(batch.get(self.condition_entry), count)
        with nn.logical_axis_rules(drawing_rules()):
            drawn, _ = generate_tokens(self.model, trained, prompts, example_keys(key, count))
            columns = [
                decode_pictures(self.tokenizer, constants["tokenizer"], each)
                for each in (tokens, drawn)
            ]
        if "image" in batch:
            columns.insert(0, batch["image"])
        return {"samples": jnp.stack(columns, axis=1)}

    def sheet_columns(self) -> Mapping[str, Sequence[str]]:
        real = () if self.tokens_beforehand else ("real",)
        return {"samples": (*real, "rebuilt", "drawn")}
