import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.models.encoder_decoder import example_keys
from babeldraw.objectives.losses import token_cross_entropy
from babeldraw.objectives.text_to_image import TextToImage
from babeldraw.objectives.token_prediction import DROPOUT, TOKEN_NOISE
from babeldraw.parallel.mesh import make_mesh
from babeldraw.parallel.rules import TRAINING_RULES, placing
from babeldraw.sampling.codec import decode_pictures
from babeldraw.sampling.generate import generate_tokens
from tests.models import tiny
from tests.objectives import tiny_runs

KEY = jax.random.key(3)
OBJECTIVE = tiny_runs.text_to_image()
PARAMS = tiny.random_params(OBJECTIVE.model)
CONSTANTS = OBJECTIVE.constants()
BATCH = {name: jnp.asarray(value) for name, value in next(tiny_runs.Pictures(4).batches()).items()}
TOKENS = tiny.jit(OBJECTIVE.image_tokens)(CONSTANTS, BATCH)


def train_loss(objective, batch, key=KEY):
    def loss(params, constants, batch, key):
        return objective.train_loss(params, {"text_to_image": params}, constants, batch, key, 0)[0]

    return tiny.jit(loss)(PARAMS, CONSTANTS, batch, key)


@tiny.jit
def loss_without_dropout(text, tokens):
    return token_cross_entropy(OBJECTIVE.model.apply({"params": PARAMS}, text, tokens), tokens)


def test_tokens_are_those_of_the_frozen_tokenizer():
    images = np.asarray(BATCH["image"], np.float32) / 255
    encode = tiny.jit(functools.partial(OBJECTIVE.tokenizer.apply, method="encode"))
    expected = encode({"params": CONSTANTS["tokenizer"]}, images)
    np.testing.assert_array_equal(TOKENS, expected)
    assert len(np.unique(TOKENS)) > 1


def test_the_frozen_tokenizer_is_data_parallel_over_the_whole_mesh():
    images = jnp.asarray(tiny.images(8))
    constants = CONSTANTS

    def tokens(constants, images):
        return OBJECTIVE.image_tokens(constants, {"image": images})

    expected = tiny.jit(tokens)(constants, images)
    with placing(make_mesh({"data": 2, "model": 4}), TRAINING_RULES):
        compiled = tiny.jit(tokens).lower(constants, images).compile()
    np.testing.assert_array_equal(compiled(constants, images), expected)
    exchanged = re.findall(r"= (\S+) (?:all-|reduce-|collective-)[a-z-]+\(", compiled.as_text())
    assert all(array.startswith("s32") for array in exchanged), exchanged  # tokens alone


def test_every_parameter_gets_a_gradient():
    def loss(params):
        return OBJECTIVE.train_loss(params, {"text_to_image": params}, CONSTANTS, BATCH, KEY, 0)[0]

    gradient = tiny.jit(jax.grad(loss))(PARAMS)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert all(np.any(leaf) for leaf in jax.tree.leaves(gradient))


def test_tokens_brought_along_give_the_same_loss_bitwise():
    encoded = {"text_tokens": BATCH["text_tokens"], "image_tokens": TOKENS}
    assert train_loss(OBJECTIVE, encoded) == train_loss(OBJECTIVE, BATCH)
    changed = encoded | {"image_tokens": (TOKENS + 1) % tiny.CODES}
    assert train_loss(OBJECTIVE, changed) != train_loss(OBJECTIVE, BATCH)


def test_prompt_dropout_of_everything_is_the_unconditional_loss():
    encoded = {"text_tokens": BATCH["text_tokens"], "image_tokens": TOKENS}
    without = encoded | {"text_tokens": jnp.zeros_like(BATCH["text_tokens"])}
    everything = tiny_runs.text_to_image(prompt_dropout_rate=1.0)
    expected = train_loss(OBJECTIVE, without)
    assert float(train_loss(everything, encoded)) == pytest.approx(float(expected), rel=1e-6)
    assert float(train_loss(OBJECTIVE, encoded)) != pytest.approx(float(expected), rel=1e-3)


def test_prompt_dropout_drops_whole_prompts_at_its_rate():
    """Without other dropout each example's loss is one of two; count which."""
    objective = tiny_runs.text_to_image(prompt_dropout_rate=0.3, dropout_rate=0.0)
    text = np.tile(BATCH["text_tokens"][:1], (600, 1))
    tokens = np.tile(TOKENS[:1], (600, 1))
    with_prompt, without = (
        float(loss_without_dropout(t, tokens[:1])) for t in (text[:1], np.zeros_like(text[:1]))
    )
    mean = float(train_loss(objective, {"text_tokens": text, "image_tokens": tokens}))
    share = (mean - with_prompt) / (without - with_prompt)
    assert share == pytest.approx(0.3, abs=5 * np.sqrt(0.3 * 0.7 / 600))


def test_evaluation_is_without_dropout_and_shows_what_the_prompt_gives():
    evaluate = tiny.jit(OBJECTIVE.evaluate)
    metrics, others = (
        evaluate({"text_to_image": PARAMS}, CONSTANTS, BATCH, key)
        for key in (KEY, jax.random.key(4))
    )
    assert metrics == others
    for name, text in (
        ("loss", BATCH["text_tokens"]),
        ("loss_without_prompt", jnp.zeros_like(BATCH["text_tokens"])),
    ):
        expected = float(loss_without_dropout(text, TOKENS))
        assert float(metrics[name]) == pytest.approx(expected, rel=1e-5)


def test_the_prompt_gap_is_what_the_prompt_is_worth():
    values = OBJECTIVE.summarize({"loss": np.float32(2.5), "loss_without_prompt": np.float32(2.75)})
    assert values == {"loss": 2.5, "loss_without_prompt": 2.75, "prompt_gap": 0.25}


def test_samples_are_drawn_with_the_average_beside_the_real_pictures():
    average = {"text_to_image": jax.tree.map(jnp.zeros_like, PARAMS), "text_to_image_ema": PARAMS}
    objective = dataclasses.replace(OBJECTIVE, ema_decay=0.9)
    draw = tiny.jit(objective.pictures)
    sheet = np.asarray(draw(average, CONSTANTS, BATCH, KEY)["samples"])
    assert objective.sheet_columns() == {"samples": ("real", "rebuilt", "drawn")}
    np.testing.assert_array_equal(sheet[:, 0], BATCH["image"])

    keys = example_keys(KEY, 4)
    tokens, _ = tiny.jit(functools.partial(generate_tokens, OBJECTIVE.model))(
        PARAMS, BATCH["text_tokens"], keys
    )
    decode = tiny.jit(functools.partial(decode_pictures, OBJECTIVE.tokenizer))
    for column, expected in ((1, TOKENS), (2, tokens)):
        np.testing.assert_array_equal(
            sheet[:, column], decode(CONSTANTS["tokenizer"], jnp.asarray(expected))
        )
    assert (sheet[:, 1] != sheet[:, 2]).any()


def test_samples_of_tokens_made_beforehand_have_no_real_picture():
    objective = dataclasses.replace(OBJECTIVE, tokens_beforehand=True)
    encoded = {"text_tokens": BATCH["text_tokens"], "image_tokens": TOKENS}
    drawn = jax.eval_shape(objective.pictures, {"text_to_image": PARAMS}, CONSTANTS, encoded, KEY)
    assert drawn["samples"].shape[1] == 2
    assert objective.sheet_columns() == {"samples": ("rebuilt", "drawn")}


def test_token_noise_corrupts_what_the_decoder_reads_and_not_what_it_predicts():
    encoded = {"text_tokens": BATCH["text_tokens"], "image_tokens": TOKENS}
    noisy = tiny_runs.text_to_image(token_noise_rate=1.0)
    loss = train_loss(noisy, encoded)
    assert loss == train_loss(noisy, encoded)  # the noise is keyed
    assert loss != train_loss(noisy, encoded, jax.random.key(4))
    assert float(loss) != pytest.approx(float(train_loss(OBJECTIVE, encoded)), rel=1e-4)

    def all_inputs_random(tokens, key):
        """The same noise, applied outside: the targets stay the true tokens."""
        noise, dropout = (
            example_keys(jax.random.fold_in(key, purpose), len(tokens))
            for purpose in (TOKEN_NOISE, DROPOUT)
        )
        inputs = noisy._with_noise(tokens, jnp.zeros(len(tokens), bool), noise)
        text = encoded["text_tokens"]
        logits = noisy.model.apply({"params": PARAMS}, text, inputs, dropout)
        return token_cross_entropy(logits, tokens)

    assert float(loss) == pytest.approx(float(tiny.jit(all_inputs_random)(TOKENS, KEY)), rel=1e-5)


def test_token_noise_replaces_tokens_at_its_rate():
    objective = tiny_runs.text_to_image(token_noise_rate=0.25)
    tokens = np.full((64, 256), 3, np.int32)
    hidden = np.arange(64) < 8
    noisy = np.asarray(tiny.jit(objective._with_noise)(tokens, hidden, example_keys(KEY, 64)))
    for rows, rate in ((~hidden, 0.25), (hidden, 1.0)):
        expected = rate * (1 - 1 / tiny.CODES)  # a random code may be the true one
        assert float((noisy != tokens)[rows].mean()) == pytest.approx(expected, abs=0.015)
    assert int(noisy.min()) >= 0 and int(noisy.max()) == tiny.CODES - 1


def test_of_a_hidden_picture_the_prompt_alone_tells(monkeypatch):
    read = []

    def logits(self, params, condition, tokens, keys=None):
        read.append(np.asarray(tokens))
        return jnp.zeros((*tokens.shape, tiny.CODES))

    monkeypatch.setattr(TextToImage, "_logits", logits)
    for rate in (1.0, 0.5):
        objective = tiny_runs.text_to_image(picture_dropout_rate=rate)
        for tokens in (jnp.zeros((32, 20), jnp.int32), jnp.ones((32, 20), jnp.int32)):
            encoded = {"text_tokens": tiny.prompts(32), "image_tokens": tokens}
            objective.train_loss(PARAMS, {}, CONSTANTS, encoded, KEY, 0)
    np.testing.assert_array_equal(read[0], read[1])
    assert len(np.unique(read[0])) == tiny.CODES
    same = (read[2] == read[3]).all(axis=1)
    assert 8 <= same.sum() <= 24
    assert (read[2][~same] == 0).all() and (read[3][~same] == 1).all()


def test_a_vocabulary_that_is_larger_than_the_models_is_refused():
    OBJECTIVE.check_batch({"text_tokens": np.array([[0, tiny.VOCAB - 1]], np.int32)})
    with pytest.raises(UserError, match="text token 20, and the model knows 20: set TEXT_VOCAB_S"):
        OBJECTIVE.check_batch({"text_tokens": np.array([[0, tiny.VOCAB]], np.int32)})
