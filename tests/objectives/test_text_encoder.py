"""Contract: what a text encoder minimises, over the global batch; stage 2 has its very weights."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.models.text_encoder import PARAMETERS
from babeldraw.objectives import text_encoder
from babeldraw.objectives.contrastive import choices, contrastive_loss, equal_texts
from babeldraw.objectives.masking import Masking
from babeldraw.objectives.text_encoder import NAME, TextEncoding
from babeldraw.objectives.text_encoder_tokens import TextEncodingOnTokens
from babeldraw.parallel.mesh import make_mesh
from babeldraw.parallel.rules import TRAINING_RULES, batch_sharding, placing, replicated, unbox
from babeldraw.training.state import init_state
from babeldraw.training.step import make_train_step
from tests.models import tiny, tiny_text
from tests.objectives import tiny_runs

KEY = jax.random.key(0)
MASKING = Masking(rate=0.5)  # texts are short
BOTH = TextEncoding(
    model=tiny_text.text_encoder(pictures=tiny_text.pixels(), dropout_rate=0.0),
    optimizer=tiny_runs.ADAM,
    masking=MASKING,
    masked_weight=0.5,
    contrastive_weight=2.0,
)
TOKENS = TextEncodingOnTokens(
    model=tiny_text.text_encoder(pictures=tiny_text.tokens()),
    optimizer=tiny_runs.ADAM,
    masking=MASKING,
    contrastive_weight=1.0,
    tokenizer=tiny_runs.TOKENIZER,
    tokenizer_params=tiny_runs.frozen_tokenizer,
)


def random_params(objective, seed=0, scale=0.4):
    """Noise in every weight, as `tiny.random_params`."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        noise = rng.normal(size=leaf.shape).astype(np.float32)
        return jnp.asarray(1 + 0.1 * noise if path[-1].key == "scale" else scale * noise)

    return jax.tree_util.tree_map_with_path(draw, unbox(objective.abstract_params[NAME]))


PARAMS = random_params(BOTH)


def batch(count=8):
    return {
        "text_tokens": tiny.prompts(count, length=tiny.TEXT),
        "image": jnp.asarray(tiny.images(count, tiny_text.SIZE)),
    }


def log_softmax(x, axis):
    return x - np.log(np.exp(x).sum(axis, keepdims=True))


def test_the_losses_are_those_of_a_transcription():
    given = batch()
    text = np.asarray(given["text_tokens"]).copy()
    text[3] = text[1]  # equal captions, of other pictures
    given["text_tokens"] = jnp.asarray(text)
    found = tiny.jit(BOTH.evaluate)({NAME: PARAMS}, {}, given, KEY)
    variables = {"params": PARAMS}

    def apply(method, *inputs):
        network = BOTH.network
        return np.asarray(tiny.jit(lambda: network.apply(variables, *inputs, method=method))())

    of_text, of_image = (
        apply("encode_text", given["text_tokens"]),
        apply("encode_image", given["image"] / 255),
    )
    np.testing.assert_allclose(np.linalg.norm(of_text, axis=1), 1, rtol=1e-5)
    scores = np.minimum(np.exp(float(PARAMS["scale"])), 100) * of_image @ of_text.T
    allowed = np.ones((8, 8), bool)
    allowed[1, 3] = allowed[3, 1] = False
    expected = 0.0
    for own in range(8):
        for line, use in ((scores[own], allowed[own]), (scores[:, own], allowed[:, own])):
            expected -= (line[own] - np.log(np.exp(line[use]).sum())) / 8
    assert float(found["contrastive"]) == pytest.approx(expected, rel=1e-4)

    keys = jax.vmap(jax.random.fold_in, (None, 0))(
        jax.random.fold_in(KEY, text_encoder.MASKING), jnp.arange(8)
    )
    seen = MASKING(jnp.asarray(text), keys, tiny.VOCAB)
    guessed = np.asarray(seen.guessed)
    assert guessed.sum() > 5
    logits = apply("masked_logits", seen.tokens, seen.hidden)
    nats = np.take_along_axis(log_softmax(logits, -1), text[..., None], -1)[..., 0]
    masked = -nats[guessed].mean()
    assert float(found["masked"]) == pytest.approx(masked, rel=1e-4)
    right = (logits.argmax(-1) == text)[guessed].mean()
    assert float(found["masked_accuracy"]) == pytest.approx(right)
    assert float(found["loss"]) == pytest.approx(0.5 * masked + 2 * expected, rel=1e-4)


def test_equal_captions_are_neither_wrong_nor_counted():
    text = jnp.asarray([[5, 1, 0], [6, 1, 0], [5, 1, 0]])
    same = equal_texts(text)
    assert np.asarray(same).tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    scores = jnp.asarray([[1.0, 0.0, 9.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert float(choices(scores, same)["image_to_text"]) == 1
    assert float(choices(scores)["image_to_text"]) == pytest.approx(2 / 3)
    gradient = jax.grad(lambda scores: contrastive_loss(scores, same))(scores)
    assert gradient[0, 2] == gradient[2, 0] == 0 and gradient[0, 1] > 0
    assert np.isfinite(np.asarray(gradient)).all()


def test_padding_is_read_by_neither_task():
    """A text is the same with any amount of it behind."""
    encode = tiny.jit(
        lambda text: BOTH.network.apply({"params": PARAMS}, text, method="encode_text")
    )
    short = jnp.asarray([[7, 9, 1]])
    padded = jnp.pad(short, ((0, 0), (0, 3)))
    np.testing.assert_allclose(encode(short), encode(padded), atol=1e-6)
    hidden = jnp.asarray([[False, True, False]])

    def logits(text, hidden):
        method = "masked_logits"
        return BOTH.network.apply({"params": PARAMS}, text, hidden, method=method)[:, :3]

    found = logits(padded, jnp.pad(hidden, ((0, 0), (0, 3))))
    np.testing.assert_allclose(logits(short, hidden), found, atol=1e-5)
    # Nor is what is hidden.
    other = short.at[0, 1].set(12)
    np.testing.assert_array_equal(logits(short, hidden), logits(other, hidden))


def test_eight_devices_contrast_the_whole_batch_and_give_the_same_gradient():
    def loss(params, batch):
        return BOTH.train_loss(params, {}, {}, batch, KEY, jnp.int32(0))[0]

    gradient = jax.value_and_grad(loss)
    value, expected = tiny.jit(gradient)(PARAMS, batch())
    mesh = make_mesh({"data": 8, "stage": 1, "model": 1})
    with placing(mesh, TRAINING_RULES):
        placed = jax.device_put((PARAMS, batch()), (replicated(mesh), batch_sharding(mesh)))
        found_value, found = tiny.jit(lambda *inputs: gradient(*inputs))(*placed)
    assert float(found_value) == pytest.approx(float(value), rel=1e-5)
    for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        assert jnp.any(one)
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=2e-5)


def test_stage_2_has_the_very_parameters():
    stage_2 = unbox(tiny_runs.text_to_image().abstract_params["text_to_image"])
    for objective in (BOTH, TOKENS):
        own = unbox(objective.abstract_params[NAME])
        for name in PARAMETERS:
            assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), own[name]) == jax.tree.map(
                lambda leaf: (leaf.shape, leaf.dtype), stage_2[name]
            )
    variables = {"params": {**tiny.random_params(tiny.transformer()), **_of_stage_2(PARAMS)}}
    text = tiny.prompts(3)
    encoded, _ = tiny.transformer().apply(variables, text, method="encode")
    alone, _ = BOTH.network.apply({"params": PARAMS}, text, method="encode")
    np.testing.assert_array_equal(encoded, alone)


def _of_stage_2(params):
    return {name: params[name] for name in PARAMETERS}


def test_what_has_no_weight_is_neither_there_nor_read():
    texts = TextEncoding(model=tiny_text.text_encoder(), optimizer=tiny_runs.ADAM)
    assert {*texts.batch_shapes(2)} == {"text_tokens"}
    assert "text_projection" not in texts.abstract_params[NAME]
    pairs = dataclasses.replace(BOTH, masked_weight=0.0)
    assert {*pairs.batch_shapes(2)} == {"text_tokens", "image"}
    assert "masked_norm" not in pairs.abstract_params[NAME]
    apart = dataclasses.replace(BOTH, texts_apart=True)
    assert {*apart.batch_shapes(2)} == {"text_tokens", "image", "masked_tokens"}
    assert {*TOKENS.batch_shapes(2)} == {"text_tokens", "image"}
    beforehand = dataclasses.replace(TOKENS, tokens_beforehand=True)
    assert {*beforehand.batch_shapes(2)} == {"text_tokens", "image_tokens"}


def test_texts_apart_are_what_is_hidden():
    apart = dataclasses.replace(BOTH, texts_apart=True)
    given = batch() | {"masked_tokens": tiny.prompts(8, seed=1)}
    found = tiny.jit(apart.evaluate)({NAME: PARAMS}, {}, given, KEY)
    same = tiny.jit(BOTH.evaluate)({NAME: PARAMS}, {}, batch(), KEY)
    assert float(found["contrastive"]) == pytest.approx(float(same["contrastive"]), rel=1e-5)
    assert float(found["masked"]) != pytest.approx(float(same["masked"]), rel=1e-3)


@pytest.mark.slow
def test_pairs_of_tokens_are_learnt_by_heart():
    step = tiny.jit(make_train_step(TOKENS))
    state = tiny.jit(lambda: init_state(TOKENS, 0))()
    constants = {"tokenizer": tiny_runs.frozen_tokenizer()}
    given = batch() | {"image": jnp.asarray(tiny.images(8))}
    first = None
    for _ in range(80):
        state, metrics = step(state, constants, given)
        first = first or float(metrics["masked"])
    assert float(metrics["image_to_text"]) == float(metrics["text_to_image"]) == 1
    assert float(metrics["contrastive"]) < 0.5
    assert float(metrics["masked"]) < first


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"masked_weight": 0.0, "contrastive_weight": 0.0}, "are both 0"),
        ({"contrastive_weight": 0.0}, "has a network for pictures"),
        ({"model": tiny_text.text_encoder()}, "has no network for pictures"),
        ({"masked_weight": 0.0, "texts_apart": True}, "leave TEXTS_APART out"),
        ({"model": TOKENS.model}, "use TextEncodingOnTokens"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(change, said):
    with pytest.raises(UserError, match=said):
        dataclasses.replace(BOTH, **change)


def test_another_grid_than_the_tokenizers_is_refused():
    model = tiny_text.text_encoder(pictures=tiny_text.tokens(rows=5))
    with pytest.raises(
        UserError, match="4 rows and 5 columns of tokens, and TokenPictureEncoder 5"
    ):
        dataclasses.replace(TOKENS, model=model)
    with pytest.raises(UserError, match="give the model a TokenPictureEncoder"):
        dataclasses.replace(TOKENS, model=BOTH.model)


def test_a_vocabulary_that_is_larger_than_the_models_is_refused():
    given = {
        "text_tokens": np.zeros((1, 2), np.int32),
        "masked_tokens": np.full((1, 2), tiny.VOCAB),
    }
    BOTH.check_batch(given)
    with pytest.raises(UserError, match="text token 20, and the model knows 20"):
        dataclasses.replace(BOTH, texts_apart=True).check_batch(given)
