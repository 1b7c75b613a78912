import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.models.discriminator import Discriminator, blur, minibatch_deviation
from babeldraw.parallel.rules import TRAINING_RULES, is_box, logical_axes, unbox
from babeldraw.sizes import height_and_width
from tests.models import tiny

# 4, 8, 8 channels.
TINY = Discriminator((16, 24), channel_base=64, max_channels=8, dtype=jnp.float32)
SMALLEST = Discriminator(8, channel_base=32, max_channels=4, dtype=jnp.float32)
BATCH = 8


def abstract(network):
    sides = height_and_width(network.image_size)
    return jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, *sides, 3)))["params"]


def random_params(network, seed=0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), unbox(abstract(network))
    )


def images(count=BATCH, size=TINY.image_size):
    rng = np.random.default_rng(1)
    return jnp.asarray(rng.uniform(size=(count, *height_and_width(size), 3)), jnp.float32)


def logits_of(network, params, pictures):
    return tiny.jit(network.apply)({"params": params}, pictures)


def penalty(network, params, images):
    """R1: the square of the gradient at real pictures, a picture (arXiv 1801.04406)."""
    gradient = jax.grad(lambda x: network.apply({"params": params}, x).sum())(images)
    return jnp.sum(jnp.square(gradient)) / images.shape[0]


def test_size_at_256_pixels_is_the_published_one():
    channels = {256: 128, 128: 256, 64: 512, 32: 512, 16: 512, 8: 512, 4: 512}
    count = 3 * 128 + 128
    for size in (256, 128, 64, 32, 16, 8):
        wide, narrow = channels[size], channels[size // 2]
        count += 9 * wide * wide + wide  # First convolution and its bias.
        count += 9 * wide * narrow + narrow  # Second convolution and its bias.
        count += wide * narrow  # Skip, without bias.
    count += 9 * (512 + 1) * 512 + 512  # One more input channel: the deviation.
    count += 4 * 4 * 512 * 512 + 512 + 512 + 1
    leaves = jax.tree.leaves(unbox(abstract(Discriminator(256))))
    assert sum(leaf.size for leaf in leaves) == count == 28_864_129
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype(jnp.float32)}


def test_every_axis_has_a_place():
    places = dict(TRAINING_RULES)
    for box in jax.tree.leaves(abstract(TINY), is_leaf=is_box):
        assert len(logical_axes(box)) == box.value.ndim
        assert all(places[axis] is None for axis in logical_axes(box))


def torch_logits(torch, params, x):
    """The same network after the published code, with its pads and full-size filter."""
    functional = torch.nn.functional

    def convolve(x, layer, stride=1, padding=0, activate=True):
        kernel = layer["kernel"].permute(3, 2, 0, 1)
        y = functional.conv2d(
            x, kernel * kernel[0].numel() ** -0.5, layer.get("bias"), stride, padding
        )
        return functional.leaky_relu(y, 0.2) * 2**0.5 if activate else y

    def filtered(x, padding):
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype) / 8
        kernel = (taps[:, None] * taps).expand(x.shape[1], 1, 4, 4)
        return functional.conv2d(functional.pad(x, [padding] * 4), kernel, groups=x.shape[1])

    def dense(x, layer):
        return x @ layer["kernel"] * layer["kernel"].shape[0] ** -0.5 + layer["bias"]

    x = convolve(x.permute(0, 3, 1, 2) * 2 - 1, params["from_rgb"])
    while x.shape[-2] > 4:
        block = params[f"block_{x.shape[-2] // 2}"]
        skip = convolve(filtered(x, 1), block["skip"], stride=2, activate=False)
        x = convolve(x, block["first"], padding=1)
        x = (convolve(filtered(x, 2), block["second"], stride=2) + skip) / 2**0.5
    groups = x.reshape(-1, 4, *x.shape[1:])
    deviation = (groups.var(dim=1, unbiased=False, keepdim=True) + 1e-8).sqrt().mean((2, 3, 4))
    channel = deviation.expand(-1, 4).reshape(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])
    x = convolve(torch.cat([x, channel], dim=1), params["last_conv"], padding=1)
    x = dense(x.permute(0, 2, 3, 1).flatten(1), params["last_dense"])
    return dense(functional.leaky_relu(x, 0.2) * 2**0.5, params["logit"])[:, 0]


def test_logits_and_the_gradient_of_r1_are_those_of_a_pytorch_network():
    torch = pytest.importorskip("torch")
    params, pictures = random_params(TINY), images()

    def doubled(array):
        return torch.tensor(np.asarray(array), dtype=torch.float64, requires_grad=True)

    theirs, their_pictures = jax.tree.map(doubled, params), doubled(pictures)
    logits = torch_logits(torch, theirs, their_pictures)
    (gradient,) = torch.autograd.grad(logits.sum(), their_pictures, create_graph=True)
    their_penalty = gradient.square().sum() / BATCH
    their_penalty.backward()

    np.testing.assert_allclose(
        logits_of(TINY, params, pictures), logits.detach(), rtol=1e-3, atol=1e-4
    )
    value, gradients = tiny.jit(jax.value_and_grad(lambda p: penalty(TINY, p, pictures)))(params)
    assert value == pytest.approx(their_penalty.item(), rel=1e-4)
    for (path, ours), their in zip(
        jax.tree_util.tree_leaves_with_path(gradients), jax.tree.leaves(theirs), strict=True
    ):
        # Where nothing but a bias of the last layer matters, both are 0 (PyTorch says None).
        expected = np.zeros(ours.shape) if their.grad is None else their.grad.numpy()
        scale = np.abs(expected).max() + 1e-6
        np.testing.assert_allclose(ours / scale, expected / scale, atol=2e-3, err_msg=str(path))


def test_the_gradient_of_r1_is_that_of_finite_differences():
    params, pictures = random_params(SMALLEST), images(4, 8)
    direction = random_params(SMALLEST, seed=2)

    def along(t):
        moved = jax.tree.map(lambda p, d: p + t * d, params, direction)
        return penalty(SMALLEST, moved, pictures)

    # Short: at each kink of a leaky ReLU the penalty jumps, which no derivative sees.
    step = 1e-4
    value_and_slope = tiny.jit(jax.value_and_grad(along))
    numeric = (value_and_slope(step)[0] - value_and_slope(-step)[0]) / (2 * step)
    slope = value_and_slope(0.0)[1]
    assert slope == pytest.approx(float(numeric), rel=0.02)
    assert abs(slope) > 1e-2


def test_bfloat16_stays_finite_and_near():
    rounded = SMALLEST.clone(dtype=jnp.bfloat16)
    params, pictures = random_params(SMALLEST), images(4, 8)
    exact = np.asarray(logits_of(SMALLEST, params, pictures))
    logits = logits_of(rounded, params, pictures)
    assert logits.dtype == jnp.float32
    np.testing.assert_allclose(logits, exact, atol=0.1 * exact.std() + 0.02)
    gradients = tiny.jit(jax.grad(lambda p: penalty(rounded, p, pictures)))(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize("stride", [1, 2])
def test_blur_keeps_a_constant_and_removes_the_finest_stripes(stride):
    flat = jnp.full((1, 8, 8, 2), 0.7)
    np.testing.assert_allclose(blur(flat, 0, stride), 0.7, rtol=1e-6)
    stripes = jnp.broadcast_to(jnp.arange(8)[:, None, None] % 2 * 2.0 - 1, (1, 8, 8, 2))
    np.testing.assert_allclose(blur(stripes, 0, stride), 0, atol=1e-6)


def test_deviation_is_of_neighbours_in_groups_of_four():
    x = np.random.default_rng(0).normal(size=(8, 4, 4, 3)).astype(np.float32)
    x[4:] = x[4]
    channel = np.asarray(minibatch_deviation(jnp.asarray(x)))[..., 3]
    np.testing.assert_allclose(channel[:4], x[:4].std(axis=0).mean(), rtol=1e-5)
    np.testing.assert_allclose(channel[4:], 1e-4, rtol=0.01)  # sqrt(1e-8), for equal pictures.


@pytest.mark.parametrize(("batch", "group"), [(1, 1), (3, 3), (5, 1), (6, 3)])
def test_a_group_divides_any_batch(batch, group):
    x = np.random.default_rng(0).normal(size=(batch, 4, 4, 2)).astype(np.float32)
    channel = np.asarray(minibatch_deviation(jnp.asarray(x)))[..., 2]
    expected = np.sqrt(x.reshape(-1, group, 32).var(axis=1) + 1e-8).mean(-1).repeat(group)
    np.testing.assert_allclose(channel[:, 0, 0], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("size", "halvings", "last"), [(8, 1, (4, 4)), (56, 3, (7, 7)), ((256, 192), 5, (8, 6))]
)
def test_pictures_are_halved_while_the_shorter_side_has_eight_pixels(size, halvings, last):
    network = Discriminator(size, channel_base=64, max_channels=2)
    assert network.halvings == halvings
    params = unbox(abstract(network))
    assert sum(name.startswith("block_") for name in params) == halvings
    assert params["last_dense"]["kernel"].shape[0] == last[0] * last[1] * 2


@pytest.mark.parametrize(("size", "multiple"), [(4, 2), (100, 16), ((16, 18), 4), ((32, 6), 2)])
def test_sides_that_do_not_halve_are_refused(size, multiple):
    with pytest.raises(UserError, match=f"multiples of {multiple}, 8 at least"):
        abstract(Discriminator(size))
