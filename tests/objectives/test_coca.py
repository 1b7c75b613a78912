"""Contract: pictures and texts are told apart over the whole batch, on any mesh."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.objectives.coca import NAME, ContrastiveCaptioner, caption_loss
from babeldraw.objectives.contrastive import contrastive_loss
from babeldraw.parallel.mesh import make_mesh
from babeldraw.parallel.rules import TRAINING_RULES, batch_sharding, placing, replicated
from babeldraw.training.state import init_state
from babeldraw.training.step import make_train_step
from tests.models import tiny, tiny_coca
from tests.objectives import tiny_runs

MODEL = tiny_coca.coca()
OBJECTIVE = ContrastiveCaptioner(model=MODEL, optimizer=tiny_runs.ADAM)
PARAMS = tiny_coca.random_params(MODEL)
KEY = jax.random.key(0)


def batch(count=8):
    return {
        "text_tokens": tiny.prompts(count),
        "image": jnp.asarray(tiny.images(count, tiny_coca.SIZE)),
    }


def test_contrastive_loss_by_hand():
    scores = np.array([[2.0, 0.0, 1.0], [0.5, 1.0, 0.0], [0.0, 3.0, 1.0]])
    expected = 0.0
    for own in range(3):
        for line in (scores[own], scores[:, own]):
            expected -= np.log(np.exp(line[own]) / np.exp(line).sum()) / 3
    assert float(contrastive_loss(jnp.asarray(scores))) == pytest.approx(expected, rel=1e-6)


def test_caption_loss_leaves_padding_out():
    rng = np.random.default_rng(0)
    logits, text = rng.normal(size=(2, 3, 5)), np.array([[2, 1, 0], [4, 0, 0]])
    nats = np.log(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))
    expected = -(nats[0, 0, 2] + nats[0, 1, 1] + nats[1, 0, 4]) / 3
    found = caption_loss(jnp.float32(logits), jnp.asarray(text))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_metrics_are_those_of_the_networks_own_answers():
    metrics = tiny.jit(OBJECTIVE.evaluate)({NAME: PARAMS}, {}, batch(), KEY)
    text = batch()["text_tokens"]
    apply = tiny.jit(lambda *inputs: MODEL.apply({"params": PARAMS}, *inputs))
    of_image, of_text, logits = apply(batch()["image"] / 255, text)
    cosine = np.asarray(of_image @ of_text.T)
    assert float(metrics["image_to_text"]) == np.mean(cosine.argmax(1) == np.arange(8))
    assert float(metrics["text_to_image"]) == np.mean(cosine.argmax(0) == np.arange(8))
    scale = float(jnp.exp(PARAMS["scale"]))
    contrastive = float(contrastive_loss(jnp.asarray(scale * cosine)))
    assert float(metrics["contrastive"]) == pytest.approx(contrastive, rel=1e-4)
    right = (np.argmax(logits, axis=-1) == text)[np.asarray(text) != 0]
    assert float(metrics["caption_accuracy"]) == pytest.approx(right.mean())
    total = contrastive + 2 * float(metrics["captioning"])
    assert float(metrics["loss"]) == pytest.approx(total, rel=1e-4)


@pytest.mark.slow
def test_a_mesh_contrasts_the_whole_batch_and_gives_the_same_gradient():
    def loss(params, batch):
        return OBJECTIVE.train_loss(params, {}, {}, batch, KEY, jnp.int32(0))[0]

    gradient = jax.value_and_grad(loss)
    value, expected = tiny.jit(gradient)(PARAMS, batch())
    mesh = make_mesh({"data": 2, "stage": 2, "model": 2})
    with placing(mesh, TRAINING_RULES):
        places = (replicated(mesh), batch_sharding(mesh))
        placed = jax.device_put((PARAMS, batch()), places)
        found_value, found = tiny.jit(lambda *inputs: gradient(*inputs))(*placed)
    assert float(found_value) == pytest.approx(float(value), rel=1e-5)
    for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        assert jnp.any(one)
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_eight_pairs_are_learnt_by_heart():
    step = tiny.jit(make_train_step(OBJECTIVE))
    state = tiny.jit(lambda: init_state(OBJECTIVE, 0))()
    for _ in range(80):
        state, metrics = step(state, {}, batch())
    assert float(metrics["image_to_text"]) == float(metrics["text_to_image"]) == 1
    assert float(metrics["contrastive"]) < 0.3
    assert float(metrics["caption_accuracy"]) > 0.6


def test_a_vocabulary_that_is_larger_than_the_models_is_refused():
    with pytest.raises(UserError, match="text token 20, and the model knows 20"):
        OBJECTIVE.check_batch({"text_tokens": np.array([[0, tiny.VOCAB]], np.int32)})
