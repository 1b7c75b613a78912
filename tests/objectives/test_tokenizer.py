import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.models.discriminator import Discriminator
from babeldraw.objectives import losses
from babeldraw.objectives.adversarial import Adversary
from babeldraw.objectives.perceptual import Perceptual
from babeldraw.training.state import init_state
from babeldraw.training.step import make_train_step
from tests.models import tiny
from tests.objectives import tiny_runs

KEY = jax.random.key(0)


def loss_and_gradient(objective, batch):
    params = tiny.random_params(objective.model)

    def loss(params):
        return objective.loss(params, {"tokenizer": params}, {}, batch, KEY, 0)

    return tiny.jit(jax.value_and_grad(loss, has_aux=True))(params)


def test_loss_is_the_weighted_sum_of_its_terms():
    objective = tiny_runs.tokenizer(l2_weight=0.7, logit_laplace_weight=0.2, vq_weight=0.5)
    pictures = jnp.asarray(tiny.images(3))
    (loss, metrics), gradient = loss_and_gradient(objective, {"image": pictures})
    terms = {name: float(metrics[name]) for name in ("l2", "logit_laplace", "vq")}
    expected = 0.7 * terms["l2"] + 0.2 * terms["logit_laplace"] + 0.5 * terms["vq"]
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert metrics["loss"] == loss

    params = tiny.random_params(objective.model)
    images = np.asarray(pictures, np.float32) / 255
    output, z, codes, tokens = tiny.jit(objective.model.apply)({"params": params}, images)
    decoded = tiny.jit(objective.model.to_image)(output)
    assert terms["l2"] == pytest.approx(float(np.mean((images - decoded) ** 2)), rel=1e-4)
    assert terms["logit_laplace"] == pytest.approx(
        float(tiny.jit(losses.logit_laplace)(images, output)), rel=1e-4
    )
    vq = tiny.jit(lambda z, codes: losses.vector_quantization(z, codes, 0.25))(z, codes)
    assert terms["vq"] == pytest.approx(float(vq), rel=1e-4)
    usage = len(np.unique(tokens)) / tiny.CODES
    assert float(objective.report(metrics)["codebook_usage"]) == pytest.approx(usage)
    for part in ("encoder", "to_code", "quantizer", "decoder"):
        assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradient[part])) > 0


def test_a_term_without_weight_is_not_computed():
    for settings, absent in (
        ({"l2_weight": 0.0}, "l2"),
        ({"logit_laplace_weight": 0.0}, "logit_laplace"),
        ({"output": "rgb"}, "logit_laplace"),
    ):
        objective = tiny_runs.tokenizer(**settings)
        params = tiny.random_params(objective.model)
        _, metrics = jax.eval_shape(
            lambda params, objective=objective: objective.loss(
                params, {}, {}, {"image": jnp.asarray(tiny.images(1))}, KEY, 0
            ),
            params,
        )
        assert absent not in metrics
        assert {"loss", "mean_square_error", "vq"} <= metrics.keys()


def test_raw_rgb_keeps_the_logit_laplace_term():
    """That of a sigmoid decoder which gives the same picture."""
    objective = tiny_runs.tokenizer(output="rgb_logit_laplace")
    images = jnp.asarray(tiny.images(2))
    (_, metrics), _ = loss_and_gradient(objective, {"image": images})
    params = tiny.random_params(objective.model)
    images = np.asarray(images, np.float32) / 255
    output, *_ = tiny.jit(objective.model.apply)({"params": params}, images)
    output = np.asarray(output)
    made, log_scale = np.clip(output[..., :3], 0, 1), output[..., 3:]
    squeezed = 0.8 * made + 0.1
    sigmoids = np.concatenate([np.log(squeezed / (1 - squeezed)), log_scale], axis=-1)
    shown = tiny.jit(tiny_runs.TOKENIZER.to_image)(sigmoids)
    np.testing.assert_allclose(shown, made, atol=1e-6)
    expected = float(tiny.jit(losses.logit_laplace)(images, sigmoids))
    assert float(metrics["logit_laplace"]) == pytest.approx(expected, rel=1e-4)


def test_pictures_show_input_reconstruction_and_difference():
    objective = tiny_runs.tokenizer()
    params = {"tokenizer": tiny.random_params(objective.model)}
    images = tiny.images(2)
    draw = tiny.jit(lambda params, batch: objective.pictures(params, {}, batch, KEY))
    sheet = np.asarray(draw(params, {"image": images})["reconstructions"])
    assert sheet.shape == (2, 3, tiny.HEIGHT, tiny.WIDTH, 3)
    assert sheet.dtype == np.uint8
    np.testing.assert_array_equal(sheet[:, 0], images)
    difference = np.abs(sheet[:, 0].astype(int) - sheet[:, 1])
    np.testing.assert_allclose(sheet[:, 2], difference, atol=1)


def all_terms(**settings):
    """With a discriminator, an average, revival and a perceptual network of one layer."""
    return tiny_runs.tokenizer(
        adversary=Adversary(
            discriminator=Discriminator(
                (tiny.HEIGHT, tiny.WIDTH), channel_base=64, dtype=jnp.float32
            ),
            optimizer=tiny_runs.ADAM,
            weight=0.3,
        ),
        perceptual=Perceptual(network=edges, params=lambda: {"scale": np.float32(3)}, weight=0.2),
        ema_decay=0.9,
        revive_every=2,
        **settings,
    )


def edges(params, images):
    """A network of one layer: differences of neighbours."""
    return (jax.nn.relu(params["scale"] * jnp.diff(images, axis=2)),)


def test_all_players_move_together():
    objective = all_terms()
    names = [player.name for player in objective.players()]
    assert names == ["discriminator", "code_share", "tokenizer", "tokenizer_ema"]
    state = tiny.jit(lambda: init_state(objective, 0))()
    params = state.params
    batch = {"image": jnp.asarray(tiny.images(4))}
    step = tiny.jit(make_train_step(objective))
    first, metrics = step(state, objective.constants(), batch)
    assert {"tokenizer/adversarial", "tokenizer/perceptual", "discriminator/r1"} <= metrics.keys()
    assert not any(name.startswith(("tokenizer_ema", "code_share")) for name in metrics)
    weights = {"l2": 1.0, "logit_laplace": 0.1, "vq": 1.0, "perceptual": 0.2, "adversarial": 0.3}
    expected = sum(w * float(metrics[f"tokenizer/{name}"]) for name, w in weights.items())
    assert float(metrics["tokenizer/loss"]) == pytest.approx(expected, rel=1e-5)

    # The average lags; the codes are as training left them, for revival is due after step 2.
    ema, trained = first.params["tokenizer_ema"], first.params["tokenizer"]
    for before, average, now in zip(
        *map(jax.tree.leaves, (params["tokenizer"], ema, trained)), strict=True
    ):
        np.testing.assert_allclose(average, 0.9 * before + 0.1 * now, atol=1e-6)
    share = np.array(first.params["code_share"]["share"])
    assert share.sum() == pytest.approx(1)

    # A code that nothing uses any more is put where a picture is.
    share[5] = 0
    unused = first.replace(params=first.params | {"code_share": {"share": jnp.asarray(share)}})
    second, _ = step(unused, objective.constants(), batch)
    revived = second.params["code_share"]["share"]
    assert revived[5] == pytest.approx(1 / tiny.CODES)
    codes = second.params["tokenizer"]["quantizer"]["codebook"]
    moved = np.abs(codes - trained["quantizer"]["codebook"]).max(axis=-1)
    assert moved[5] > 0.1 > np.delete(moved, 5)[share[np.arange(tiny.CODES) != 5] > 0.05].max()


def test_revival_needs_normalised_codes():
    objective = tiny_runs.tokenizer()
    model = objective.model.clone(l2_normalize=False)
    with pytest.raises(UserError, match="needs l2_normalize"):
        dataclasses.replace(objective, model=model, revive_every=20)


def test_evaluation_is_of_the_average_and_over_the_whole_set():
    objective = all_terms()
    params = tiny.jit(lambda: init_state(objective, 0).params)()
    params |= {"tokenizer_ema": tiny.random_params(objective.model)}
    batches = [{"image": jnp.asarray(tiny.images(2, seed=seed))} for seed in (0, 1)]
    evaluate = tiny.jit(
        lambda params, batch: objective.evaluate(params, objective.constants(), batch, KEY)
    )
    results = [evaluate(params, batch) for batch in batches]
    means = {name: np.mean([r[name] for r in results], axis=0) for name in results[0]}
    values = objective.summarize(means)

    images = np.concatenate([batch["image"] for batch in batches]).astype(np.float32) / 255
    variables = {"params": params["tokenizer_ema"]}
    tokens = tiny.jit(lambda x: objective.model.apply(variables, x, method="encode"))(images)
    decoded = tiny.jit(lambda t: objective.model.apply(variables, t, method="decode"))(tokens)
    psnr = -10 * np.log10(np.mean(np.square(images - decoded)))
    assert values["psnr"] == pytest.approx(psnr, abs=1e-3)
    assert values["codebook_usage"] == pytest.approx(len(np.unique(tokens)) / tiny.CODES)
    assert {"real_accuracy", "made_accuracy", "perplexity", "perceptual"} <= values.keys()


def test_players_without_weight_are_left_out():
    adversary = dataclasses.replace(all_terms().adversary, weight=0.0)
    perceptual = dataclasses.replace(all_terms().perceptual, weight=0.0)
    objective = tiny_runs.tokenizer(adversary=adversary, perceptual=perceptual)
    assert [player.name for player in objective.players()] == ["tokenizer"]
    assert objective.constants() == {}
    assert set(objective.abstract_params) == {"tokenizer"}
