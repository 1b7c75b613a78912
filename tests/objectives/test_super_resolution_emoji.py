"""Contract: on the shipped emoji, enlarging beats bilinear by what the tokenizer loses."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from babeldraw.data.sets import emoji_sheets
from babeldraw.models.super_resolution import SuperResolver, enlarge
from babeldraw.objectives.super_resolution import NAME, SuperResolution
from babeldraw.objectives.tokenizer import Tokenizer
from babeldraw.optimizers.config import Adam
from babeldraw.sampling.codec import Codec
from babeldraw.sampling.upscale import Upscaler
from babeldraw.training.keeping.checkpoints import load_networks, load_tokenizer
from babeldraw.training.loop import train
from babeldraw.training.machine import Machine
from tests.models import tiny

pytestmark = pytest.mark.slow

TOKENIZER_STEPS, STEPS = 800, 300


def emoji(side):
    """`(training, held out)`: the shipped pictures, averaged down to `side`; one in 9 held out."""
    folder, size = emoji_sheets.SHIPPED, emoji_sheets.SHIPPED_SIZE
    pictures = emoji_sheets.read_images(folder, size, emoji_sheets.read_cells(folder))
    factor = size // side
    shape = (len(pictures), side, factor, side, factor, 3)
    pictures = pictures.reshape(shape).mean((2, 4)).round().astype(np.uint8)
    held_out = np.arange(len(pictures)) % 9 == 0
    return pictures[~held_out], pictures[held_out]


@dataclasses.dataclass(frozen=True, eq=False)
class Batches:
    pictures: np.ndarray
    batch_size: int = 8

    def batches(self, *, process_index=0, process_count=1, start_step=0, num_epochs=None):
        step = start_step
        while True:
            rng = np.random.default_rng(step)
            yield {"image": self.pictures[rng.integers(0, len(self.pictures), self.batch_size)]}
            step += 1


def run(objective, directory, side, steps):
    training, held_out = emoji(side)
    values = {}
    train(
        objective,
        model_dir=str(directory),
        train_dataset=Batches(training),
        eval_dataset=Batches(held_out, 64),
        train_steps=steps,
        machine=Machine(),
        log_every=100,
        eval_every=steps,
        eval_batches=4,
        on_metrics=lambda step, split, found: values.update({split: found}),
        devices=jax.devices()[:1],
    )
    return values


def adam(steps):
    rate = optax.warmup_cosine_decay_schedule(0.0, 4e-3, 50, steps)
    return Adam(learning_rate=rate, clip_norm=1.0)


def psnr(a, b):
    return -10 * np.log10(np.square((a.astype(float) - b) / 255).mean())


def test_emoji_get_closer_to_the_pictures_than_bilinear_ones(tmp_path):
    sides = {
        f"{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in {"heads": 4, "width": 128, "mlp_dim": 128}.items()
    }
    model = tiny.tokenizer(image_size=16, patch_size=2, codebook_size=512, code_dim=8, **sides)
    # The quickstart's settings.
    tokenizer = Tokenizer(
        model=model,
        optimizer=adam(TOKENIZER_STEPS),
        logit_laplace_weight=0.0,
        vq_weight=0.02,
    )
    run(tokenizer, tmp_path / "tokenizer", 16, TOKENIZER_STEPS)

    network = SuperResolver(factor=2, channels=16, num_blocks=2, dtype="float32")
    objective = SuperResolution(
        model=network,
        tokenizer=model,
        tokenizer_params=lambda: load_tokenizer(str(tmp_path / "tokenizer")),
        optimizer=adam(STEPS),
    )
    values = run(objective, tmp_path / "enlarge", 32, STEPS)
    found = values["eval"]
    assert found["psnr"] > found["bilinear_psnr"] + 0.5

    _, high = emoji(32)
    _, low = emoji(16)
    networks = load_networks(str(tmp_path / "enlarge"))
    small = Codec(model, networks["tokenizer"]).reconstruct(low[:64])
    made = Upscaler(network, networks[NAME])(small)
    plain = 255 * np.asarray(enlarge(jnp.asarray(small) / 255, 2))
    assert psnr(made, high[:64]) > psnr(plain, high[:64]) + 0.5
