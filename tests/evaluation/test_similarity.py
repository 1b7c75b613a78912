import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.evaluation.similarity import ssim


@pytest.fixture(scope="module")
def pairs():
    """A photo and three made worse, float32[3, 40, 33, 3] each."""
    data = pytest.importorskip("skimage.data")
    image = data.astronaut()[100:140, 200:233].astype(np.float32) / 255
    rng = np.random.default_rng(0)
    noisy = np.clip(image + rng.normal(0, 0.1, image.shape), 0, 1).astype(np.float32)
    worse = np.stack([noisy, 1 - image, image * 0.5])
    return np.broadcast_to(image, worse.shape), worse


def test_scikit_image_agrees(pairs):
    metrics = pytest.importorskip("skimage.metrics")
    ours = jax.jit(ssim)(*map(jnp.asarray, pairs))
    for value, a, b in zip(ours, *pairs, strict=True):
        expected = metrics.structural_similarity(
            a.astype(np.float64),
            b.astype(np.float64),
            data_range=1.0,
            channel_axis=-1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        np.testing.assert_allclose(value, expected, atol=2e-5)
    assert ours[1] < 0 < ours[0] < 1


def test_equal_pictures_are_at_1(pairs):
    image = jnp.asarray(pairs[0][:1])
    np.testing.assert_allclose(jax.jit(ssim)(image, image), 1, atol=1e-6)


def test_smallest_picture():
    black = jnp.zeros((2, 11, 11, 3))
    assert jax.jit(ssim)(black, black).tolist() == [1, 1]
    with pytest.raises(UserError, match="at least 11 px"):
        ssim(jnp.zeros((1, 10, 32, 3)), jnp.zeros((1, 10, 32, 3)))
