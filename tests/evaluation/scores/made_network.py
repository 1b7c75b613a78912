"""A feature network that a test can follow, and pictures for it."""

import jax
import jax.numpy as jnp
import numpy as np

from babeldraw.evaluation.scores.base import Pictures
from babeldraw.evaluation.scores.feature_network import FeatureNetwork, on_own_devices

MATRIX = np.random.default_rng(5).normal(size=(12, 8 + 3)).astype(np.float32)


def made_network():
    """Eight features and three logits of pictures of 2 x 2 pixels."""
    return FeatureNetwork(
        title="made",
        settings={"network": "made"},
        dimension=8,
        classes=3,
        prepare=lambda batch: batch.astype(np.float32) / 255,
        program=jax.jit(lambda params, x: jnp.tanh(x.reshape(len(x), -1) @ params)),
        runner=on_own_devices(MATRIX, batch_size=16),
    )


def pictures(seed, count, high=256):
    return Pictures(np.random.default_rng(seed).integers(0, high, (count, 2, 2, 3), np.uint8))
