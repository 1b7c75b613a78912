"""Contract: enlarged pictures are the model's own, whatever the batch size."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.models.super_resolution import SuperResolver
from babeldraw.parallel.rules import unbox
from babeldraw.sampling.upscale import Upscaler
from tests.models import tiny

MODEL = SuperResolver(factor=2, channels=4, num_blocks=1, dtype=jnp.float32)
IMAGES = tiny.images(5, 6)


@functools.cache
def params():
    boxes = jax.eval_shape(MODEL.init, jax.random.key(0), jnp.zeros((1, 6, 6, 3)))["params"]
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype("f4") / 4, unbox(boxes))


@pytest.mark.parametrize("batch_size", [2, 8])
def test_pictures_are_the_models(batch_size):
    made = Upscaler(MODEL, params(), batch_size=batch_size)(IMAGES)
    raw = tiny.jit(MODEL.apply)({"params": params()}, jnp.asarray(IMAGES, jnp.float32) / 255)
    assert made.shape == (5, 12, 12, 3) and made.dtype == np.uint8
    assert raw.min() < 0 and raw.max() > 1  # So that clipping matters.
    np.testing.assert_allclose(made, np.clip(raw, 0, 1) * 255, atol=0.51)


def test_no_pictures_and_pictures_that_are_not_square():
    upscaler = Upscaler(MODEL, params(), batch_size=2)
    assert upscaler(IMAGES[:0]).shape == (0, 12, 12, 3)
    assert upscaler(IMAGES[:3, :4]).shape == (3, 8, 12, 3)
