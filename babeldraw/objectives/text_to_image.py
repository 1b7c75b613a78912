"""Stage 2: predict the tokens of a picture from its caption."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from babeldraw.models.encoder_decoder import EncoderDecoder
from babeldraw.models.flops import Flops, text_to_image_flops
from babeldraw.objectives import alarms
from babeldraw.objectives.alarms import Alarm, History, Plan
from babeldraw.objectives.base import check_text_tokens
from babeldraw.objectives.token_prediction import Condition, TokenPrediction
from babeldraw.ranges import Share

NAME = "text_to_image"
"""The player's name."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextToImage(TokenPrediction):
    """Image tokens from a text.

    Attributes:
      prompt_dropout_rate: share of prompts replaced by padding, for guidance. The patent does this
        in a finetune of 100,000 steps; here it is a rate of any run.
    """

    model: EncoderDecoder
    prompt_dropout_rate: Share = 0.0

    player = NAME
    condition, condition_entry, no_condition = "prompt", "text_tokens", 0

    @property
    def condition_dropout_rate(self) -> float:
        return self.prompt_dropout_rate

    def condition_shapes(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        shape = (batch_size, self.model.text_length)
        return {"text_tokens": jax.ShapeDtypeStruct(shape, jnp.int32)}

    def model_inputs(self, condition: Condition | None, tokens: Int[Array, "batch n"]) -> Any:
        return condition, tokens

    def prompts(self, condition: Condition | None, count: int) -> Int[Array, "count text"]:
        assert condition is not None  # All batches have it.
        return condition

    def check_batch(self, batch: Mapping[str, np.ndarray]) -> None:
        check_text_tokens(batch, self.model.text_vocab_size)
        super().check_batch(batch)

    def flops(self) -> Flops:
        return text_to_image_flops(self.model, self.tokenizer)

    def alarms(self, history: History, plan: Plan) -> list[Alarm]:
        return [
            *alarms.prompts_unread(history, plan),
            *alarms.memorised(history, "loss", rises=False),
        ]

    def alarms_of_data(self, plan: Plan, captions: Sequence[str]) -> list[Alarm]:
        return [
            *alarms.set_too_small(plan, self.num_parameters, self.model.num_tokens),
            *alarms.captions_alike(captions),
        ]
