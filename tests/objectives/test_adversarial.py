import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from babeldraw.models.discriminator import Discriminator
from babeldraw.objectives.adversarial import Adversary
from babeldraw.optimizers.config import Adam
from babeldraw.parallel.rules import unbox
from tests.models import tiny

SIZE = 8
ADAM = Adam(learning_rate=optax.constant_schedule(1e-2), b1=0.0)


def adversary(**settings):
    model = Discriminator(SIZE, channel_base=64, max_channels=8, dtype=jnp.float32)
    return Adversary(discriminator=model, optimizer=ADAM, **settings)


PARAMS = tiny.jit(lambda: unbox(adversary().init(jax.random.key(0))))()
RNG = np.random.default_rng(1)
REAL = jnp.asarray(RNG.uniform(size=(4, SIZE, SIZE, 3)), jnp.float32)
MADE = jnp.asarray(RNG.uniform(size=(4, SIZE, SIZE, 3)), jnp.float32)


@tiny.jit
def discriminate(images):
    return adversary().discriminator.apply({"params": PARAMS}, images)


def logits(images):
    return np.asarray(discriminate(images))


@tiny.jit
def penalty(step):
    with_penalty = adversary(r1_weight=10.0, r1_every=4).player(lambda *_: (REAL, MADE), None)
    loss, metrics = with_penalty.loss(PARAMS, {}, {}, {}, jax.random.key(0), step)
    return loss, metrics["r1"]


def test_losses_are_the_non_saturating_logistic_ones():
    got = tiny.jit(adversary().generator_loss)(PARAMS, MADE)
    np.testing.assert_allclose(got, np.mean(np.log1p(np.exp(-logits(MADE)))), rtol=1e-5)
    player = adversary(r1_weight=0.0).player(lambda *_: (REAL, MADE), None)
    loss, metrics = tiny.jit(player.loss)(PARAMS, {}, {}, {}, jax.random.key(0), jnp.int32(0))
    expected = np.mean(np.log1p(np.exp(-logits(REAL))) + np.log1p(np.exp(logits(MADE))))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert "r1" not in metrics
    assert metrics["real_accuracy"] == np.mean(logits(REAL) > 0)
    assert metrics["made_accuracy"] == np.mean(logits(MADE) < 0)


def test_r1_is_lazy_and_as_strong_as_an_eager_one():
    """`10 / 2 * E |grad|^2` of pictures in [-1, 1], four times as strong every fourth step."""

    def score(signed):
        return jnp.sum(adversary().discriminator.apply({"params": PARAMS}, (signed + 1) / 2))

    gradient = np.asarray(tiny.jit(jax.grad(score))(REAL * 2 - 1))
    expected = np.mean(np.sum(gradient**2, axis=(1, 2, 3)))
    on, off = penalty(jnp.int32(8)), penalty(jnp.int32(9))
    np.testing.assert_allclose(on[1], 4 * expected, rtol=1e-4)
    assert off[1] == 0
    np.testing.assert_allclose(on[0] - off[0], 5 * on[1], rtol=1e-4)


def test_the_made_pictures_are_not_moved_by_the_discriminators_loss():
    def loss(scale):
        player = adversary().player(lambda *_: (REAL, scale * MADE), None)
        return player.loss(PARAMS, {}, {}, {}, jax.random.key(0), jnp.int32(0))[0]

    assert tiny.jit(jax.grad(loss))(1.0) == 0


def test_the_discriminator_learns_to_tell_bright_from_dark():
    pictures = (0.2 * MADE + 0.8, 0.2 * MADE)
    player = adversary(r1_weight=0.1).player(lambda *_: pictures, None)

    @tiny.jit
    def step(params, state, number):
        gradient = jax.grad(player.loss, has_aux=True)
        gradients, _ = gradient(params, {}, {}, {}, jax.random.key(0), number)
        updates, state = player.optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    params, state = PARAMS, tiny.jit(player.optimizer.init)(PARAMS)
    for number in range(30):
        params, state = step(params, state, number)
    assert tiny.jit(adversary().evaluate)(params, *pictures) == {
        "real_accuracy": 1.0,
        "made_accuracy": 1.0,
    }


@pytest.mark.parametrize(("step", "share"), [(0, 0.0), (5, 0.5), (10, 1.0), (99, 1.0)])
def test_the_weight_rises(step, share):
    ramp = adversary(weight=0.4, ramp_steps=10)
    assert ramp.generator_weight(jnp.int32(step), None, None, MADE) == pytest.approx(0.4 * share)


def test_the_adaptive_weight_makes_gradients_equally_long():
    adaptive = adversary(weight=0.5, adaptive=True)

    def others(images):
        return 3 * jnp.sum(images)

    def own(images):
        return jnp.sum(images) / 7

    weight = adaptive.generator_weight(jnp.int32(0), others, own, MADE)
    assert weight == pytest.approx(0.5 * 21, rel=1e-4)
    assert adaptive.generator_weight(
        jnp.int32(0), others, lambda images: 0 * own(images), MADE
    ) == pytest.approx(0.5 * 1e4)
