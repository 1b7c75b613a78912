"""Stage 2 without texts: predict the tokens of a picture from its class, or from nothing (VIM).

A vector-quantized image model (arXiv 2110.04627) is conditioned on a class by `class_id`, on a part
of a picture by the tokens of that part, which `sampling.generate` takes as a prefix, and on nothing
at all where neither is given: one loss over all tokens trains all three.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from babeldraw.errors import UserError
from babeldraw.models.flops import Flops, image_tokens_flops
from babeldraw.models.image_decoder import NO_CLASS
from babeldraw.objectives import alarms
from babeldraw.objectives.alarms import Alarm, History, Plan
from babeldraw.objectives.base import Constants
from babeldraw.objectives.token_prediction import Condition, TokenPrediction
from babeldraw.ranges import Share

NAME = "image_tokens"
"""The player's name."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageTokens(TokenPrediction):
    """Image tokens from a class, or from nothing where the model knows no classes.

    Attributes:
      class_dropout_rate: share of classes that are left out, for guidance and for drawing without a
        class; at 1 the model is unconditional.
    """

    class_dropout_rate: Share = 0.0

    player = NAME
    condition, condition_entry, no_condition = "class", "class_id", NO_CLASS

    @property
    def condition_dropout_rate(self) -> float:
        return self.class_dropout_rate

    def condition_shapes(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        if not self.model.num_classes:
            return {}
        return {"class_id": jax.ShapeDtypeStruct((batch_size,), jnp.int32)}

    def model_inputs(self, condition: Condition | None, tokens: Int[Array, "batch n"]) -> Any:
        return tokens, condition

    def prompts(self, condition: Condition | None, count: int) -> Int[Array, "count"]:
        return jnp.full((count,), NO_CLASS) if condition is None else condition

    def check_dataset(self, dataset: Any, constants: Constants) -> None:
        super().check_dataset(dataset, constants)
        if not hasattr(dataset, "class_names"):
            return
        brings, knows = len(dataset.class_names()), self.model.num_classes
        if brings == knows:
            return
        fix = f"set it to {brings}, or CLASS_FEATURE to another feature"
        if not brings:
            fix = "set CLASS_FEATURE to what tells them, or NUM_CLASSES to 0"
        raise UserError(
            f"The dataset has {brings or 'no'} classes, and NUM_CLASSES is {knows}: {fix}."
        )

    def check_batch(self, batch: Mapping[str, np.ndarray]) -> None:
        super().check_batch(batch)
        # The embedding would take its last row instead; -1 is no class.
        largest = int(np.max(batch.get("class_id", 0), initial=0))
        if largest >= max(self.model.num_classes, 1):
            raise UserError(
                f"The pictures have class {largest}, and the model knows {self.model.num_classes} "
                "of them, from 0 on: set NUM_CLASSES to as many as the dataset has."
            )

    def flops(self) -> Flops:
        return image_tokens_flops(self.model, self.tokenizer)

    def alarms(self, history: History, plan: Plan) -> list[Alarm]:
        classes, tokens = self.model.num_classes, self.model.num_tokens
        return [
            *alarms.class_unread(history, plan, classes, tokens),
            *alarms.memorised(history, "loss", rises=False),
        ]

    def alarms_of_data(self, plan: Plan, captions: Sequence[str]) -> list[Alarm]:
        return alarms.set_too_small(plan, self.num_parameters, self.model.num_tokens)
