import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.objectives import codebook


def test_usage_and_perplexity():
    tokens = jnp.array([[0, 0, 1], [1, 2, 2]])
    share = np.asarray(codebook.code_share(tokens, 6))
    np.testing.assert_allclose(share, [1 / 3, 1 / 3, 1 / 3, 0, 0, 0], rtol=1e-6)
    usage, perplexity = codebook.usage_and_perplexity(share)
    assert usage == 0.5
    assert perplexity == pytest.approx(3, rel=1e-5)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_revival_moves_unused_codes_alone():
    rng = np.random.default_rng(0)
    codes = jnp.asarray(rng.normal(size=(5, 3)), jnp.float32)
    z = jnp.asarray(unit(rng.normal(size=(7, 3))), jnp.float32)
    share = jnp.array([0.5, 0.019, 0.021, 0.46, 0.0])  # A tenth of an equal share is 0.02.
    revived, new_share = codebook.revive(codes, share, z, 0.1, jax.random.key(0))
    np.testing.assert_array_equal(revived[jnp.array([0, 2, 3])], codes[jnp.array([0, 2, 3])])
    np.testing.assert_allclose(new_share, [0.5, 0.2, 0.021, 0.46, 0.2], rtol=1e-6)
    for index in (1, 4):
        length = np.linalg.norm(codes[index])
        np.testing.assert_allclose(np.linalg.norm(revived[index]), length, rtol=1e-5)
        distance = np.abs(np.asarray(revived[index]) / length - z).max(axis=-1)
        assert distance.min() < 1e-5


def test_revival_goes_where_codes_are_far():
    # Two codes lie on the first two vectors, all others point away from the rest. The third vector
    # is at a right angle to its nearest code: squared distance 2; the fourth at 60 degrees: 1.
    z = jnp.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0, np.sqrt(0.75)]])
    dead = 3000
    codes = jnp.concatenate([3 * z[:2], jnp.full((dead, 3), 1 / np.sqrt(3)).at[:, 2].set(-9)])
    share = jnp.concatenate([jnp.full(2, 0.5), jnp.zeros(dead)])
    revived, _ = codebook.revive(codes, share, z, 0.1, jax.random.key(0))
    landed = np.argmax(unit(np.asarray(revived[2:])) @ np.asarray(z).T, axis=-1)
    counts = np.bincount(landed, minlength=4)
    assert counts[:2].sum() == 0
    np.testing.assert_allclose(counts[2:] / dead, [2 / 3, 1 / 3], atol=0.03)
