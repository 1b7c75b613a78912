"""A text encoder's pretraining with pictures as the frozen tokenizer has them: as tokens."""

import dataclasses

import jax
from jaxtyping import Array

from babeldraw.errors import UserError
from babeldraw.models.picture_encoder import PictureEncoder, TokenPictureEncoder
from babeldraw.objectives.base import Batch, Constants
from babeldraw.objectives.text_encoder import TextEncoding
from babeldraw.objectives.tokenized_pictures import TokenizedPictures


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextEncodingOnTokens(TextEncoding, TokenizedPictures):
    """As `TextEncoding`, of pictures that are tokens: made in the step, or beforehand."""

    def _check_pictures(self, encoder: PictureEncoder | TokenPictureEncoder | None) -> None:
        if not isinstance(encoder, TokenPictureEncoder):
            raise UserError(
                "TextEncodingOnTokens compares texts with tokens of pictures: give the model a "
                "TokenPictureEncoder, as gin/runs/text_encoder_tokens.gin does, or use "
                "TextEncoding."
            )
        read, given = (encoder.rows, encoder.columns), self.tokenizer.grid
        if read != given:
            raise UserError(
                f"The tokenizer has {given[0]} rows and {given[1]} columns of tokens, and "
                f"TokenPictureEncoder {read[0]} and {read[1]}: set its rows and columns to the "
                "tokenizer's, as gin/runs/text_encoder_tokens.gin does."
            )

    def picture_shapes(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        return TokenizedPictures.picture_shapes(self, batch_size)

    def read_pictures(self, constants: Constants, batch: Batch) -> Array:
        return self.image_tokens(constants, batch)
