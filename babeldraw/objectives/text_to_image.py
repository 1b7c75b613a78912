"""Stage 2: predict the tokens of a picture from its caption."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from babeldraw.errors import UserError
from babeldraw.models.encoder_decoder import EncoderDecoder, example_keys
from babeldraw.models.flops import Flops, text_to_image_flops
from babeldraw.models.token_identity import READS_PICTURES, token_identity
from babeldraw.models.vit_vqgan import ViTVQGAN
from babeldraw.objectives import alarms, losses
from babeldraw.objectives.alarms import Alarm, History, Plan
from babeldraw.objectives.average import averaged, followers, with_average
from babeldraw.objectives.base import (
    Batch,
    Constants,
    Metrics,
    Networks,
    Objective,
    Params,
    Player,
    Sheets,
    check_text_tokens,
)
from babeldraw.optimizers.config import OptimizerConfig
from babeldraw.parallel.rules import (
    INFERENCE_RULES,
    data_parallel,
    in_sequence,
    unbox,
    with_logical_constraint,
)
from babeldraw.ranges import Share, ShareBelowOne
from babeldraw.sampling.codec import Codec, decode_pictures
from babeldraw.sampling.generate import generate_tokens
from babeldraw.sampling.pictures import Sampler
from babeldraw.sizes import height_and_width, in_words

NAME = "text_to_image"
"""The player's name."""

DROPOUT, PROMPT_DROPOUT, TOKEN_NOISE = range(3)
"""What a step draws noise for; each has keys of its own."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextToImage(Objective):
    """Next-token cross-entropy over image tokens.

    Attributes:
      tokenizer: the frozen ViT-VQGAN, which runs inside the step on batches that bring `image`.
      tokenizer_params: gives the tokenizer's parameters, such as `checkpoints.TrainedTokenizer`
        of a run directory; called once, at the start of a run.
      prompt_dropout_rate: share of prompts replaced by padding, for guidance. The patent does this
        in a finetune of 100,000 steps; here it is a rate of any run.
      token_noise_rate: share of the decoder's input tokens replaced by random codes. A small model
        otherwise learns to continue the pictures that it has seen before it learns to read the
        prompt. Beyond the patent.
      ema_decay: keep a moving average of the parameters, which evaluation and samples then take; 0:
        off.
      tokens_beforehand: whether batches bring `image_tokens`, made by `babeldraw tokenize-dataset`.
    """

    model: EncoderDecoder
    tokenizer: ViTVQGAN
    tokenizer_params: Callable[[], Params]
    optimizer: OptimizerConfig
    prompt_dropout_rate: Share = 0.0
    token_noise_rate: Share = 0.0
    ema_decay: ShareBelowOne = 0.0
    tokens_beforehand: bool = False

    def __post_init__(self) -> None:
        drawn, given = (self.model.rows, self.model.columns), self.tokenizer.grid
        if drawn != given:
            rows, columns = given
            raise UserError(
                f"The tokenizer has {rows} rows and {columns} columns of tokens, and the "
                f"Transformer {drawn[0]} and {drawn[1]}: set EncoderDecoder.rows and columns to "
                "the tokenizer's, as gin/runs/text_to_image.gin does."
            )

    @property
    def network(self) -> EncoderDecoder:
        """The model, executed as the machine file says."""
        network: EncoderDecoder = self.model.clone(execution=self.execution)
        return network

    def constants(self) -> dict[str, Any]:
        return {"tokenizer": self.tokenizer_params()}

    def abstract_constants(self) -> dict[str, Any]:
        sides = height_and_width(self.tokenizer.image_size)

        def init() -> Any:  # Arrays are made inside: the mesh may be one of absent devices.
            return self.tokenizer.init(jax.random.key(0), jnp.zeros((1, *sides, 3)))

        boxes = jax.eval_shape(init)
        return {"tokenizer": unbox(boxes["params"])}

    def held(self, constants: Mapping[str, Params]) -> dict[str, Any]:
        """Encoder and codebook of the tokenizer, unless batches bring its tokens."""
        if self.tokens_beforehand:
            return {}
        return {"tokenizer": {name: constants["tokenizer"][name] for name in READS_PICTURES}}

    def batch_shapes(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        text = jax.ShapeDtypeStruct((batch_size, self.model.text_length), jnp.int32)
        if self.tokens_beforehand:
            tokens = jax.ShapeDtypeStruct((batch_size, self.model.num_tokens), jnp.int32)
            return {"text_tokens": text, "image_tokens": tokens}
        sides = height_and_width(self.tokenizer.image_size)
        image = jax.ShapeDtypeStruct((batch_size, *sides, 3), jnp.uint8)
        return {"text_tokens": text, "image": image}

    def check_dataset(self, dataset: Any, constants: Constants) -> None:
        made_by = getattr(dataset, "tokenizer", None)
        if (made_by is not None) != self.tokens_beforehand:
            brings = "pictures" if made_by is None else "tokens made beforehand"
            raise UserError(
                f"The dataset brings {brings}, and TOKENS_BEFOREHAND is {self.tokens_beforehand}: "
                "set it to the other, or choose another task."
            )
        if made_by is None:
            return
        own = token_identity(constants["tokenizer"])
        if made_by != own:
            raise UserError(
                "The dataset's tokens were made by another tokenizer (its encoder and codebook are "
                f"{made_by[:12]}, those of this run {own[:12]}): tokenize the pictures with this "
                "run's, or start a run with the other."
            )
        size = dataset.task_feature_lengths["image"]
        if height_and_width(size) != height_and_width(self.tokenizer.image_size):
            raise UserError(
                f"The dataset's tokens are of pictures of {in_words(size)}, and IMAGE_SIZE is "
                f"{self.tokenizer.image_size}: set it to {size}."
            )

    def check_batch(self, batch: Mapping[str, np.ndarray]) -> None:
        check_text_tokens(batch, self.model.text_vocab_size)
        largest = int(np.max(batch.get("image_tokens", 0), initial=0))
        if largest >= self.model.codebook_size:
            raise UserError(
                f"The pictures have token {largest}, and the model knows "
                f"{self.model.codebook_size}: make the tokens again, they are damaged."
            )

    def init(self, key: Key[Array, ""]) -> dict[str, Params]:
        text = jnp.zeros((1, self.model.text_length), jnp.int32)
        image = jnp.zeros((1, self.model.num_tokens), jnp.int32)
        params = {NAME: self.network.init(key, text, image)["params"]}
        return with_average(params, NAME, self.ema_decay)

    def flops(self) -> Flops:
        return text_to_image_flops(self.model, self.tokenizer)

    def sampler(self, networks: Networks, **settings: Any) -> Sampler:
        params, tokenizer_params = averaged(networks, NAME), networks["tokenizer"]
        return Sampler(self.model, params, self.tokenizer, tokenizer_params, **settings)

    def codec(self, networks: Networks, batch_size: int = 16) -> Codec:
        """Of the frozen tokenizer."""
        return Codec(self.tokenizer, networks["tokenizer"], batch_size)

    def players(self) -> tuple[Player, ...]:
        return (
            Player(
                NAME,
                self.train_loss,
                self.optimizer.make(self.layer_axes(NAME)),
                self.optimizer.learning_rate,
            ),
            *followers(NAME, self.ema_decay),
        )

    def image_tokens(self, constants: Constants, batch: Batch) -> Int[Array, "batch n"]:
        """The batch's tokens: brought along, or made by the frozen tokenizer."""
        if "image_tokens" in batch:
            return batch["image_tokens"]
        tokenizer = self.tokenizer.clone(execution=self.execution.sequential)
        variables = {"params": constants["tokenizer"]}
        with data_parallel(len(batch["image"])):
            images = with_logical_constraint(batch["image"], ("batch", None, None, None))
            images = images.astype(jnp.float32) / 255
            tokens = tokenizer.apply(variables, images, method="encode")
        return with_logical_constraint(tokens, ("batch", "length"))

    def train_loss(
        self,
        params: Params,
        all_params: Mapping[str, Params],
        constants: Constants,
        batch: Batch,
        key: Key[Array, ""],
        step: Int[Array, ""],
    ) -> tuple[Float[Array, ""], Metrics]:
        """Cross-entropy in nats a token; dropout, prompt dropout and noise are drawn from `key`."""
        text = batch["text_tokens"]

        def keys(purpose: int) -> Key[Array, "batch"]:
            return example_keys(jax.random.fold_in(key, purpose), text.shape[0])

        if self.prompt_dropout_rate:
            drop = jax.vmap(lambda k: jax.random.bernoulli(k, self.prompt_dropout_rate))(
                keys(PROMPT_DROPOUT)
            )
            text = jnp.where(drop[:, None], 0, text)
        tokens = self.image_tokens(constants, batch)
        inputs = tokens
        if self.token_noise_rate:
            inputs = self._with_noise(tokens, keys(TOKEN_NOISE))
        logits = self.network.apply({"params": params}, text, inputs, keys(DROPOUT))
        loss = losses.token_cross_entropy(logits, tokens)
        return loss, {"loss": loss}

    def _with_noise(
        self, tokens: Int[Array, "batch n"], keys: Key[Array, "batch"]
    ) -> Int[Array, "batch n"]:
        def noisy(tokens: jax.Array, key: Key[Array, ""]) -> jax.Array:
            where, what = jax.random.split(key)
            replaced = jax.random.bernoulli(where, self.token_noise_rate, tokens.shape)
            random = jax.random.randint(what, tokens.shape, 0, self.model.codebook_size)
            return jnp.where(replaced, random, tokens)

        return jax.vmap(noisy)(tokens, keys)

    def evaluate(
        self, params: Mapping[str, Params], constants: Constants, batch: Batch, key: Key[Array, ""]
    ) -> Metrics:
        """Cross-entropy without dropout, with the prompt and with the unconditional one."""
        tokens = self.image_tokens(constants, batch)
        variables = {"params": averaged(params, NAME)}
        text = batch["text_tokens"]
        network = self.network
        with_prompt = losses.token_cross_entropy(network.apply(variables, text, tokens), tokens)
        without = losses.token_cross_entropy(
            network.apply(variables, jnp.zeros_like(text), tokens), tokens
        )
        return {"loss": with_prompt, "loss_without_prompt": without}

    def summarize(self, means: Mapping[str, np.ndarray]) -> dict[str, float]:
        """With `prompt_gap`: how many nats a token the prompt is worth.

        The loss without the prompt minus the loss with it: near 0 where prompts are not read.
        """
        values = super().summarize(means)
        return values | {"prompt_gap": values["loss_without_prompt"] - values["loss"]}

    def alarms(self, history: History, plan: Plan) -> list[Alarm]:
        return [
            *alarms.prompts_unread(history, plan),
            *alarms.memorised(history, "loss", rises=False),
        ]

    def alarms_of_data(self, plan: Plan, captions: Sequence[str]) -> list[Alarm]:
        boxes = unbox(self.abstract_params[NAME])
        parameters = sum(math.prod(array.shape) for array in jax.tree.leaves(boxes))
        return [
            *alarms.set_too_small(plan, parameters, self.model.num_tokens),
            *alarms.captions_alike(captions),
        ]

    def pictures(
        self, params: Mapping[str, Params], constants: Constants, batch: Batch, key: Key[Array, ""]
    ) -> Sheets:
        """`samples`: the picture of each prompt, what its tokens hold of it, and what is drawn.

        Drawn as `babeldraw sample` draws without settings, in the fewest steps that the model's
        inputs allow. Where batches bring tokens, there is no first column.
        """
        boxes = self.abstract_params[NAME]
        trained = in_sequence(averaged(params, NAME), boxes)
        # A row's place keys its noise, whatever the number of rows.
        keys = example_keys(key, batch["text_tokens"].shape[0])
        with nn.logical_axis_rules(INFERENCE_RULES):
            drawn, _ = generate_tokens(self.model, trained, batch["text_tokens"], keys)
            columns = [
                decode_pictures(self.tokenizer, constants["tokenizer"], tokens)
                for tokens in (self.image_tokens(constants, batch), drawn)
            ]
        if "image" in batch:
            columns.insert(0, batch["image"])
        return {"samples": jnp.stack(columns, axis=1)}

    def sheet_columns(self) -> Mapping[str, Sequence[str]]:
        real = () if self.tokens_beforehand else ("real",)
        return {"samples": (*real, "rebuilt", "drawn")}
