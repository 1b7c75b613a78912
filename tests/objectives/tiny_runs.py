"""The real objectives around networks of about ten thousand weights, and noise to train them on."""

import dataclasses

import numpy as np
import optax

from babeldraw.objectives.image_tokens import ImageTokens
from babeldraw.objectives.text_to_image import TextToImage
from babeldraw.objectives.tokenizer import Tokenizer
from babeldraw.optimizers.config import Adafactor, Adam
from tests.models import tiny

ADAM = Adam(learning_rate=optax.linear_schedule(3e-3, 0.0, 100), clip_norm=1.0)
ADAFACTOR = Adafactor(learning_rate=ADAM.learning_rate, min_dim_size_to_factor=8)
TOKENIZER = tiny.tokenizer()


def frozen_tokenizer():
    """As `checkpoints.load_tokenizer` gives it: plain arrays."""
    return tiny.random_params(TOKENIZER, seed=1)


def text_to_image(
    *,
    prompt_dropout_rate=0.0,
    token_noise_rate=0.0,
    picture_dropout_rate=0.0,
    optimizer=ADAM,
    **settings,
):
    model = tiny.transformer(**({"dropout_rate": 0.1} | settings))
    return TextToImage(
        model=model,
        tokenizer=TOKENIZER,
        tokenizer_params=frozen_tokenizer,
        optimizer=optimizer,
        prompt_dropout_rate=prompt_dropout_rate,
        token_noise_rate=token_noise_rate,
        picture_dropout_rate=picture_dropout_rate,
    )


def image_tokens(*, class_dropout_rate=0.0, token_noise_rate=0.0, optimizer=ADAM, **settings):
    model = tiny.image_decoder(**({"dropout_rate": 0.1} | settings))
    return ImageTokens(
        model=model,
        tokenizer=TOKENIZER,
        tokenizer_params=frozen_tokenizer,
        optimizer=optimizer,
        class_dropout_rate=class_dropout_rate,
        token_noise_rate=token_noise_rate,
    )


def tokenizer(**settings):
    model = tiny.tokenizer(output=settings.pop("output", "logit_laplace"))
    return Tokenizer(model=model, optimizer=ADAM, **settings)


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Batch i is drawn from a generator seeded with i."""

    batch_size: int = 8

    def batches(self, *, process_index=0, process_count=1, start_step=0, num_epochs=None):
        step = start_step
        while True:
            share = self.batch_size // process_count
            rows = slice(process_index * share, (process_index + 1) * share)
            yield {
                "text_tokens": np.asarray(tiny.prompts(self.batch_size, seed=step))[rows],
                "image": tiny.images(self.batch_size, seed=step)[rows],
            }
            step += 1
