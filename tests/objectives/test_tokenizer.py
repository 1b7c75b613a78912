import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.objectives import losses
from tests.models import tiny
from tests.objectives import tiny_runs

KEY = jax.random.key(0)


def loss_and_gradient(objective, batch):
    params = tiny.random_params(objective.model)

    def loss(params):
        return objective.loss(params, {"tokenizer": params}, {}, batch, KEY)

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
    images = pictures.astype(jnp.float32) / 255
    output, z, codes, tokens = tiny.jit(objective.model.apply)({"params": params}, images)
    decoded = objective.model.to_image(output)
    assert terms["l2"] == pytest.approx(float(jnp.mean((images - decoded) ** 2)), rel=1e-4)
    assert terms["logit_laplace"] == pytest.approx(
        float(losses.logit_laplace(images, output)), rel=1e-4
    )
    assert terms["vq"] == pytest.approx(float(losses.vector_quantization(z, codes, 0.25)), rel=1e-4)
    usage = len(np.unique(tokens)) / tiny.CODES
    assert float(metrics["codebook_usage"]) == pytest.approx(usage)
    for part in ("encoder", "to_code", "quantizer", "decoder"):
        assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient[part])) > 0


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
                params, {}, {}, {"image": jnp.asarray(tiny.images(1))}, KEY
            ),
            params,
        )
        assert absent not in metrics
        assert {"loss", "psnr", "vq"} <= metrics.keys()


def test_pictures_show_input_reconstruction_and_difference():
    objective = tiny_runs.tokenizer()
    params = {"tokenizer": tiny.random_params(objective.model)}
    images = tiny.images(2)
    draw = tiny.jit(lambda params, batch: objective.pictures(params, {}, batch, KEY))
    sheet = np.asarray(draw(params, {"image": images})["reconstructions"])
    assert sheet.shape == (2, 3, 16, 16, 3)
    assert sheet.dtype == np.uint8
    np.testing.assert_array_equal(sheet[:, 0], images)
    difference = np.abs(sheet[:, 0].astype(int) - sheet[:, 1])
    np.testing.assert_allclose(sheet[:, 2], difference, atol=1)
