"""Contract: a new decoder, and not a code of a picture changes."""

import jax
import numpy as np
import pytest

from babeldraw.models.vit_vqgan import ViTVQGAN
from babeldraw.objectives.decoder_finetune import DecoderFinetune
from babeldraw.parallel.rules import unbox
from babeldraw.training.keeping.checkpoints import load_params, load_tokenizer
from babeldraw.training.loop import train
from babeldraw.training.machine import Machine
from tests.models import tiny
from tests.objectives import tiny_runs

LARGER = {"decoder_layers": 2, "decoder_width": 24, "output": "rgb"}


def finetune(source, **settings):
    return DecoderFinetune(
        model=tiny.tokenizer(**LARGER), optimizer=tiny_runs.ADAM, source=source, **settings
    )


def run(objective, directory, steps):
    train(
        objective,
        model_dir=str(directory),
        train_dataset=tiny_runs.Pictures(),
        train_steps=steps,
        machine=Machine(),
        log_every=100,
        devices=jax.devices()[:1],
    )


def encode(model: ViTVQGAN, params, images):
    return np.asarray(
        tiny.jit(lambda params, x: model.apply({"params": params}, x, method="encode"))(
            params, images
        )
    )


@pytest.mark.slow
def test_every_picture_keeps_its_tokens_and_the_decoder_learns(tmp_path):
    run(tiny_runs.tokenizer(ema_decay=0.5), tmp_path / "first", 3)
    source = load_tokenizer(str(tmp_path / "first"))
    objective = finetune(lambda: load_tokenizer(str(tmp_path / "first")), ema_decay=0.5)
    run(objective, tmp_path / "second", 4)
    finetuned = load_tokenizer(str(tmp_path / "second"))

    for name in ("encoder", "to_code", "quantizer"):
        jax.tree.map(np.testing.assert_array_equal, finetuned[name], source[name])
    images = tiny.images(5, seed=9).astype(np.float32) / 255
    before = encode(tiny.tokenizer(), source, images)
    np.testing.assert_array_equal(encode(objective.model, finetuned, images), before)

    assert finetuned["decoder"]["input"]["kernel"].shape[-1] == 24
    fresh = objective.init(jax.random.key(0))["tokenizer"]
    assert set(fresh) == {"decoder"}
    whole = jax.tree.map(np.shape, unbox(objective.init_network(jax.random.key(0))))
    assert jax.tree.map(np.shape, finetuned) == whole


def test_only_the_decoder_is_trained_and_vq_is_not_computed():
    objective = finetune(lambda: tiny.random_params(tiny.tokenizer()))
    constants = objective.constants()
    assert set(constants["tokenizer"]) == {"encoder", "to_code", "quantizer"}
    shapes = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), constants)
    abstract = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), objective.abstract_constants())
    assert shapes == abstract
    own = jax.eval_shape(lambda: objective.init(jax.random.key(0)))["tokenizer"]
    assert set(own) == {"decoder"}
    _, metrics = jax.eval_shape(
        lambda own: objective.loss(own, {}, constants, {"image": tiny.images(1)}, 0, 0), own
    )
    assert "vq" not in metrics
    assert "l2" in metrics


def test_the_averaged_parameters_are_what_others_load(tmp_path):
    objective = tiny_runs.tokenizer(ema_decay=0.5)
    run(objective, tmp_path, 2)
    loaded = load_tokenizer(str(tmp_path))
    written = load_params(str(tmp_path))
    jax.tree.map(np.testing.assert_array_equal, loaded, written["tokenizer_ema"])
    moved = [
        np.abs(a - b).max()
        for a, b in zip(jax.tree.leaves(written["tokenizer"]), jax.tree.leaves(loaded), strict=True)
    ]
    assert max(moved) > 0
