import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageFilter

from babeldraw.data.sets.emoji_sheets import SHIPPED, decode_sheet
from babeldraw.models.feature_networks import SqueezeNet
from babeldraw.objectives.perceptual import Perceptual
from babeldraw.weights import feature_weights

PERCEPTUAL = Perceptual(network=SqueezeNet(), params=feature_weights.squeezenet)


@pytest.fixture(scope="module")
def pictures():
    """Four emoji, float32[4, 32, 32, 3]."""
    sheet = decode_sheet(SHIPPED / "noto_32_00.webp", 32)
    return sheet[:400:100].astype(np.float32) / 255


@pytest.fixture(scope="module")
def measure():
    """`(a, b) -> (distance, its gradient by b)`, on the weights shipped."""
    graded = jax.jit(jax.value_and_grad(PERCEPTUAL.distance, argnums=2))
    params = feature_weights.squeezenet()
    return lambda a, b: graded(params, a, b)


def blurred(images, radius):
    frames = [Image.fromarray((255 * image).astype(np.uint8)) for image in images]
    soft = [frame.filter(ImageFilter.GaussianBlur(radius)) for frame in frames]
    return np.stack([np.asarray(frame, np.float32) / 255 for frame in soft])


def test_formula_by_hand():
    """Unit vectors (0.6, 0.8) and (0.8, 0.6) are 0.08 apart; a layer without a signal adds 0."""

    def network(params, images):
        return images[..., :2], 0 * images

    perceptual = Perceptual(network=network, params=dict)
    a = jnp.broadcast_to(jnp.array([3.0, 4.0, 0.0]), (2, 4, 4, 3))
    b = jnp.broadcast_to(jnp.array([8.0, 6.0, 1.0]), (2, 4, 4, 3))
    b = b.at[1].set(a[1])  # equal pictures count, too
    np.testing.assert_allclose(perceptual.distance({}, a, b), 0.08 / 2 / 2, rtol=1e-5)


def test_equal_pictures_are_at_0_with_a_finite_gradient(pictures, measure):
    for images in (pictures, np.zeros_like(pictures)):
        distance, gradient = measure(images, images)
        assert float(distance) < 1e-12  # the side with a gradient is compiled another way
        np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_grows_with_blur_and_is_symmetric(pictures, measure):
    distances = [float(measure(pictures, blurred(pictures, r))[0]) for r in (0.5, 1, 2, 4)]
    assert distances[0] > 0
    assert distances == sorted(distances)
    back = measure(blurred(pictures, 4), pictures)[0]
    np.testing.assert_allclose(back, distances[-1], rtol=1e-5)


def test_gradient_is_that_of_finite_differences(pictures, measure):
    soft = blurred(pictures, 2)
    _, gradient = measure(pictures, soft)
    direction = np.asarray(gradient) / np.linalg.norm(gradient)
    ahead, behind = (measure(pictures, soft + h * direction)[0] for h in (0.002, -0.002))
    np.testing.assert_allclose((ahead - behind) / 0.004, np.vdot(gradient, direction), rtol=0.03)


def test_bfloat16_pictures_are_measured_in_float32(pictures):
    rounded = jnp.asarray(pictures, jnp.bfloat16)
    program = jax.jit(PERCEPTUAL.distance).lower(feature_weights.squeezenet(), rounded, rounded)
    assert program.out_info.dtype == jnp.float32
    convolutions = [line for line in program.as_text().splitlines() if "convolution(" in line]
    assert convolutions and not any("bf16" in line for line in convolutions)
