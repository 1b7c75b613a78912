"""Objectives on tokens of pictures, which a frozen tokenizer makes, in the step or beforehand."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from babeldraw.errors import UserError
from babeldraw.models.token_identity import READS_PICTURES, token_identity
from babeldraw.models.vit_vqgan import ViTVQGAN
from babeldraw.objectives.base import Batch, Constants, Networks, Objective, Params
from babeldraw.parallel.rules import data_parallel, unbox, with_logical_constraint
from babeldraw.sampling.codec import Codec
from babeldraw.sizes import height_and_width, in_words


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizedPictures(Objective):
    """The part of an objective that has to do with its frozen tokenizer.

    Attributes:
      tokenizer: the frozen ViT-VQGAN, which runs inside the step on batches that bring `image`.
      tokenizer_params: gives the tokenizer's parameters, such as `checkpoints.TrainedTokenizer`
        of a run directory; called once, at the start of a run.
      tokens_beforehand: whether batches bring `image_tokens`, made by `babeldraw tokenize-dataset`.
    """

    tokenizer: ViTVQGAN
    tokenizer_params: Callable[[], Params]
    tokens_beforehand: bool = False

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

    def picture_shapes(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        """`image_tokens` of batches, or `image`."""
        if self.tokens_beforehand:
            tokens = jax.ShapeDtypeStruct((batch_size, self.tokenizer.num_tokens), jnp.int32)
            return {"image_tokens": tokens}
        sides = height_and_width(self.tokenizer.image_size)
        return {"image": jax.ShapeDtypeStruct((batch_size, *sides, 3), jnp.uint8)}

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

    def codec(self, networks: Networks, batch_size: int = 16) -> Codec:
        """Of the frozen tokenizer."""
        return Codec(self.tokenizer, networks["tokenizer"], batch_size)

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
