import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.models.super_resolution import SuperResolver, enlarge
from babeldraw.parallel.rules import TRAINING_RULES, is_box, logical_axes, unbox
from tests.models import tiny

PICTURES = jnp.asarray(tiny.images(2, 6), jnp.float32) / 255


def network(**settings):
    return SuperResolver(**({"channels": 4, "num_blocks": 2, "dtype": jnp.float32} | settings))


def fresh(model):
    return unbox(tiny.jit(model.init)(jax.random.key(0), PICTURES))


def noisy(variables, scale=0.3):
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(scale=scale, size=leaf.shape), jnp.float32), variables
    )


def convolve(x, layer):
    """3x3 with zeros around, one tap after another."""
    kernel, bias = np.asarray(layer["kernel"], np.float64), np.asarray(layer["bias"], np.float64)
    height, width = x.shape[1:3]
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [(row, column) for row in range(3) for column in range(3)]
    return bias + sum(x[:, r : r + height, c : c + width] @ kernel[r, c] for r, c in taps)


def by_hand(params, images, factor, num_blocks):
    x = convolve(np.asarray(images, np.float64) * 2 - 1, params["input"])
    for stage in range({2: 1, 4: 2}[factor]):
        for block in range(num_blocks):
            layers = params[f"stage_{stage}_block_{block}"]
            x = x + convolve(np.maximum(convolve(x, layers["widen"]), 0), layers["narrow"])
        x = convolve(x, params[f"stage_{stage}_enlarge"])
        batch, height, width, channels = x.shape
        x = x.reshape(batch, height, width, 2, 2, channels // 4)
        x = x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, 2 * height, 2 * width, channels // 4)
    return enlarge(images, factor) + convolve(x, params["output"])


@pytest.mark.parametrize("factor", [2, 4])
def test_it_is_the_network_written_out(factor):
    model = network(factor=factor)
    variables = noisy(jax.eval_shape(lambda: unbox(model.init(jax.random.key(0), PICTURES))))
    made = tiny.jit(model.apply)(variables, PICTURES)
    assert made.shape == (2, 6 * factor, 6 * factor, 3) and made.dtype == jnp.float32
    expected = by_hand(variables["params"], PICTURES, factor, 2)
    np.testing.assert_allclose(made, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(("factor", "dtype"), [(2, jnp.float32), (4, jnp.bfloat16)])
def test_a_fresh_network_enlarges_bilinearly(factor, dtype):
    model = network(factor=factor, dtype=dtype)
    made = tiny.jit(model.apply)(fresh(model), PICTURES)
    np.testing.assert_array_equal(made, enlarge(PICTURES, factor))


def test_bilinear_is_between_the_nearest_pixels():
    row = jnp.asarray([0.0, 1.0, 3.0])[None, None, :, None]
    expected = [0, 0.25, 0.75, 1.5, 2.5, 3]
    np.testing.assert_allclose(enlarge(row, 2)[0, 0, :, 0], expected, atol=1e-6)


@pytest.mark.parametrize(("factor", "total"), [(2, 14_760_835), (4, 29_514_627)])
def test_published_sizes(factor, total):
    """About 15M and 30M (arXiv 2206.10789)."""
    model = SuperResolver(factor=factor)
    boxes = jax.eval_shape(model.init, jax.random.key(0), PICTURES)["params"]
    block = 9 * 128 * 512 + 512 + 9 * 512 * 128 + 128
    stage = 12 * block + 9 * 128 * 512 + 512
    count = 9 * 3 * 128 + 128 + {2: 1, 4: 2}[factor] * stage + 9 * 128 * 3 + 3
    assert sum(leaf.size for leaf in jax.tree.leaves(unbox(boxes))) == count == total
    places = dict(TRAINING_RULES)
    for box in jax.tree.leaves(boxes, is_leaf=is_box):
        assert all(places[axis] is None for axis in logical_axes(box))
        assert len(logical_axes(box)) == box.value.ndim
