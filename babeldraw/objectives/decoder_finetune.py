"""Between the stages: a new, usually larger decoder for the tokens of a trained tokenizer."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array, Key

from babeldraw.models.flops import Flops, decoder_finetune_flops
from babeldraw.objectives.base import Params
from babeldraw.objectives.tokenizer import NAME, Tokenizer
from babeldraw.parallel.rules import unbox
from babeldraw.ranges import Weight


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecoderFinetune(Tokenizer):
    """Trains a new decoder, usually a larger one, for the tokens of a trained tokenizer.

    Encoder and codebook are frozen, so every picture keeps its tokens. The patent's new decoder
    gives raw RGB: `ViTVQGAN.output`, which the recipe sets.

    Attributes:
      source: gives the trained tokenizer's parameters, such as `checkpoints.TrainedTokenizer`
        of a run directory; called once, at the start of a run.
    """

    source: Callable[[], Params]
    vq_weight: Weight = 0.0

    def flops(self) -> Flops:
        return decoder_finetune_flops(self.model)

    def init_trained(self, key: Key[Array, ""]) -> Params:
        return {"decoder": self.init_network(key)["decoder"]}

    def constants(self) -> dict[str, Any]:
        frozen = {name: value for name, value in self.source().items() if name != "decoder"}
        return {**super().constants(), NAME: frozen}

    def abstract_constants(self) -> dict[str, Any]:
        boxes = jax.eval_shape(lambda: self.init_network(jax.random.key(0)))
        frozen = {name: value for name, value in unbox(boxes).items() if name != "decoder"}
        return {**super().abstract_constants(), NAME: frozen}
