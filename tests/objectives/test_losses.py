"""Contract: each loss is its formula, transcribed to float64 numpy term by term."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.objectives import losses


def test_logit_laplace_is_its_formula():
    rng = np.random.default_rng(0)
    images = rng.random((2, 4, 4, 3)).astype(np.float32)
    images[0, 0, 0] = [0.0, 1.0, 0.5]  # the ends of the range included
    output = rng.normal(size=(2, 4, 4, 6)).astype(np.float32)
    x = 0.8 * images.astype(np.float64) + 0.1
    mu, b = output[..., :3].astype(np.float64), np.exp(output[..., 3:].astype(np.float64))
    density = np.exp(-np.abs(np.log(x / (1 - x)) - mu) / b) / (2 * b * x * (1 - x))
    expected = -np.log(density).mean()
    found = jax.jit(losses.logit_laplace)(images, output)
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("mu", "log_scale"), [(0.0, -1.0), (1.5, 0.0), (-0.7, -2.0)])
def test_logit_laplace_is_a_density(mu, log_scale):
    """It integrates to 1 over x in (0, 1), x being the squeezed pixel (linear in the pixel)."""
    x = (np.arange(20_000) + 0.5) / 20_000
    pixels = jnp.asarray((x - 0.1) / 0.8, jnp.float32)  # beyond [0, 1], so that x covers (0, 1)
    output = jnp.asarray([mu] * 3 + [log_scale] * 3, jnp.float32)

    def density(pixel):
        picture = jnp.full((1, 1, 1, 3), pixel)
        return jnp.exp(-losses.logit_laplace(picture, output[None, None, None]))

    assert float(jnp.mean(jax.vmap(density)(pixels))) == pytest.approx(1.0, abs=2e-3)


def test_vector_quantization_is_its_formula():
    rng = np.random.default_rng(0)
    z, codes = rng.normal(size=(2, 3, 5, 4)).astype(np.float32)
    distances = np.square(z.astype(np.float64) - codes).sum(-1)
    expected = distances.mean() + 0.3 * distances.mean()
    assert float(
        losses.vector_quantization(jnp.asarray(z), jnp.asarray(codes), 0.3)
    ) == pytest.approx(expected, rel=1e-5)
    assert losses.vector_quantization(jnp.asarray(z), jnp.asarray(z)) == 0


def test_vector_quantization_pulls_codes_and_encoder_by_their_own_weights():
    rng = np.random.default_rng(0)
    z, codes = (jnp.asarray(a, jnp.float32) for a in rng.normal(size=(2, 3, 5, 4)))
    to_z, to_codes = jax.grad(losses.vector_quantization, (0, 1))(z, codes, 0.25)
    tokens = 3 * 5
    np.testing.assert_allclose(to_codes, 2 * (codes - z) / tokens, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(to_z, 0.25 * 2 * (z - codes) / tokens, rtol=1e-5, atol=1e-7)


def test_cross_entropy_is_its_formula():
    rng = np.random.default_rng(0)
    logits = (10 * rng.normal(size=(2, 6, 7))).astype(np.float32)
    tokens = rng.integers(0, 7, size=(2, 6))
    exact = logits.astype(np.float64)
    normaliser = np.log(np.exp(exact).sum(-1))
    picked = np.take_along_axis(exact, tokens[..., None], -1)[..., 0]
    found = losses.token_cross_entropy(jnp.asarray(logits), jnp.asarray(tokens, jnp.int32))
    assert float(found) == pytest.approx((normaliser - picked).mean(), rel=1e-5)


def test_z_loss_is_its_formula_and_pulls_the_normaliser_to_one():
    rng = np.random.default_rng(0)
    logits = (10 * rng.normal(size=(2, 6, 7))).astype(np.float32)
    normaliser = np.log(np.exp(logits.astype(np.float64)).sum(-1))
    value, gradient = jax.value_and_grad(losses.z_loss)(jnp.asarray(logits))
    assert float(value) == pytest.approx((normaliser**2).mean(), rel=1e-5)
    expected = 2 * normaliser / normaliser.size  # of all of a token's logits together
    np.testing.assert_allclose(gradient.sum(-1), expected, rtol=1e-4)


def test_psnr():
    assert float(losses.psnr(jnp.float32(0.1**2))) == pytest.approx(20, abs=1e-4)
    assert jnp.isfinite(losses.psnr(jnp.float32(0)))
