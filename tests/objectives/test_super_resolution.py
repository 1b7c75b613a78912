"""Contract: what is learned is the way from frozen reconstructions to the pictures themselves."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.models.discriminator import Discriminator
from babeldraw.models.super_resolution import SuperResolver, enlarge
from babeldraw.objectives import adversarial
from babeldraw.objectives.adversarial import Adversary
from babeldraw.objectives.perceptual import Perceptual
from babeldraw.objectives.super_resolution import NAME, SuperResolution
from babeldraw.parallel.rules import unbox
from babeldraw.training.state import init_state
from babeldraw.training.step import make_train_step
from tests.models import tiny
from tests.objectives import tiny_runs

KEY = jax.random.key(0)
TOKENIZER = tiny.tokenizer(image_size=(4, 6), patch_size=2)
SIZE = (8, 12)


@dataclasses.dataclass(frozen=True)
class Channels:
    """A frozen network: the picture times a weight a channel."""

    def __call__(self, params, images):
        return (images * params["weights"],)


PERCEPTUAL = Perceptual(
    network=Channels(), params=lambda: {"weights": np.asarray([1, 2, 3], "f4")}, weight=0.3
)
ADVERSARY = Adversary(
    discriminator=Discriminator(SIZE, channel_base=64, max_channels=4, dtype=jnp.float32),
    optimizer=tiny_runs.ADAM,
    weight=0.2,
)


def objective(**settings):
    defaults = {
        "model": SuperResolver(factor=2, channels=4, num_blocks=1, dtype=jnp.float32),
        "tokenizer": TOKENIZER,
        "tokenizer_params": lambda: tiny.random_params(TOKENIZER, seed=1),
        "optimizer": tiny_runs.ADAM,
    }
    return SuperResolution(**(defaults | settings))


def batch(count=2, seed=0):
    return {"image": jnp.asarray(tiny.images(count, SIZE, seed))}


def random_params(made):
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(scale=0.1, size=leaf.shape), jnp.float32),
        unbox(made.abstract_params),
    )


def test_reconstruction_is_the_tokenizers_of_box_means():
    made = objective()
    pictures = batch(3)["image"]
    small = np.asarray(pictures, np.float32).reshape(3, 4, 2, 6, 2, 3).mean((2, 4)) / 255

    def expect(params, small):
        tokens = made.tokenizer.apply({"params": params}, small, method="encode")
        return made.tokenizer.apply({"params": params}, tokens, method="decode")

    found = tiny.jit(made.reconstruct)(made.constants(), jnp.asarray(pictures) / 255)
    expected = tiny.jit(expect)(made.constants()["tokenizer"], jnp.asarray(small))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.std(found) > 0.05


def test_loss_is_the_weighted_sum_and_reaches_the_network_alone():
    made = objective(l2_weight=0.7, perceptual=PERCEPTUAL, adversary=ADVERSARY)
    params, constants = random_params(made), made.constants()

    def loss(params, constants):
        return made.loss(params[NAME], params, constants, batch(), KEY, jnp.int32(0))

    differentiate = tiny.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
    (total, metrics), (to_params, to_constants) = differentiate(params, constants)
    expected = 0.7 * metrics["l2"] + 0.3 * metrics["perceptual"] + 0.2 * metrics["adversarial"]
    assert float(total) == pytest.approx(float(expected), rel=1e-5)
    assert all(metrics[name] > 0 for name in ("l2", "perceptual", "adversarial"))
    assert all(np.any(leaf) for leaf in jax.tree.leaves(to_params[NAME]))
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(to_constants["tokenizer"]))


@pytest.mark.parametrize(
    ("settings", "terms"),
    [
        ({"perceptual": PERCEPTUAL, "adversary": ADVERSARY}, {"l2", "perceptual", "adversarial"}),
        ({"l2_weight": 0.0, "perceptual": PERCEPTUAL}, {"perceptual"}),
        ({"perceptual": dataclasses.replace(PERCEPTUAL, weight=0.0)}, {"l2"}),
        ({"adversary": dataclasses.replace(ADVERSARY, weight=0.0)}, {"l2"}),
    ],
)
def test_a_term_without_weight_is_not_computed(settings, terms):
    made = objective(**settings)
    players = {NAME, "discriminator"} if "adversarial" in terms else {NAME}
    assert {player.name for player in made.players()} == set(made.abstract_params) == players
    constants = made.constants()
    assert ("perceptual" in constants) == ("perceptual" in terms)
    shapes = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), constants)
    abstract = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), made.abstract_constants())
    assert shapes == abstract
    params = unbox(made.abstract_params)
    _, metrics = jax.eval_shape(
        lambda params: made.loss(params[NAME], params, constants, batch(), KEY, jnp.int32(0)),
        params,
    )
    weight = {"adversarial_weight"} if "adversarial" in terms else set()
    assert set(metrics) == {"loss", "mean_square_error"} | terms | weight


def test_a_step_moves_both_players_and_evaluation_starts_at_bilinear():
    made = objective(adversary=dataclasses.replace(ADVERSARY, r1_weight=0.0))
    state, constants = tiny.jit(lambda: init_state(made, 0))(), made.constants()

    @tiny.jit
    def evaluate(params):
        return made.evaluate(params, constants, batch(), KEY), made.pictures(
            params, constants, batch(), KEY
        )

    measured, sheets = evaluate(state.params)
    values = made.summarize(measured)
    assert values["psnr"] == pytest.approx(values["bilinear_psnr"])
    small = tiny.jit(made.reconstruct)(constants, batch()["image"] / 255)
    error = np.square(enlarge(small, 2) - batch()["image"] / 255).mean()
    assert values["bilinear_psnr"] == pytest.approx(-10 * np.log10(error), abs=1e-3)
    sheet = sheets["enlargements"]
    assert sheet.shape == (2, 4, *SIZE, 3)
    np.testing.assert_array_equal(sheet[:, 0], batch()["image"])
    np.testing.assert_array_equal(sheet[:, 1], sheet[:, 2])

    step = tiny.jit(make_train_step(made))
    moved, metrics = step(state, constants, batch())
    moved, metrics = step(moved, constants, batch())
    assert all(np.isfinite(value) for value in metrics.values())
    for name in (NAME, adversarial.NAME):
        before, after = (jax.tree.leaves(each.params[name]) for each in (state, moved))
        assert all(np.any(a != b) for a, b in zip(before, after, strict=True))
    assert evaluate(moved.params)[0]["mean_square_error"] < measured["mean_square_error"]
