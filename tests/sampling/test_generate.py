"""Contract: sampling with a cache draws what the model itself says, token by token."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from babeldraw.errors import UserError
from babeldraw.models.image_decoder import NO_CLASS
from babeldraw.objectives.losses import token_cross_entropy
from babeldraw.sampling.decoder import CachedDecoder
from babeldraw.sampling.generate import generate_tokens
from babeldraw.sampling.schedule import make_schedule
from tests.models import tiny
from tests.sampling.by_hand import full, guided, redrawn, sampler

TEXTS, CLASSES = tiny.prompts(2), jnp.asarray([2, NO_CLASS])


@pytest.mark.parametrize(
    ("make", "convention", "kernel", "settings", "order"),
    [
        (tiny.transformer, "raster", None, {}, "raster"),
        (tiny.transformer, "raster", 3, {"attention_wrap": True}, "raster"),
        (tiny.transformer, "row_start", 5, {}, "wavefront"),
        (tiny.transformer, "row_start_above", 3, {"qk_norm": True}, "wavefront"),
        (tiny.transformer, "row_start_above", 5, {}, "raster_full_cache"),
        (tiny.image_decoder, "raster", None, {"qk_norm": True}, "raster"),
        (tiny.image_decoder, "row_start_above", 3, {}, "wavefront"),
        (tiny.image_decoder, "raster", 3, {"num_classes": 0}, "raster"),
    ],
)
def test_cached_logits_are_those_of_the_full_forward_pass(
    make, convention, kernel, settings, order
):
    model = make(decoder_inputs=convention, attention_kernel=kernel, **settings)
    params = tiny.random_params(model)
    text = TEXTS if make is tiny.transformer else CLASSES
    tokens = tiny.pictures_tokens(2, model)
    schedule = make_schedule(model, order=order)

    @tiny.jit
    def cached(params, text, tokens):
        decoder = CachedDecoder(model, params)
        read = decoder.read(text[:, None], with_unconditional=False)

        def step(state, now):
            logits, known, caches = state
            positions, slots, visible = now
            found, caches = decoder.step(
                read, known, jnp.minimum(positions, model.num_tokens - 1), slots, visible, caches
            )
            # A token is not known before the step that draws it.
            known = known.at[:, positions].set(tokens[:, positions], mode="drop")
            return (logits.at[:, positions].set(found[:, 0], mode="drop"), known, caches), None

        logits = jnp.zeros((*tokens.shape, model.codebook_size))
        state = logits, jnp.zeros_like(tokens), decoder.empty_caches(2, schedule.capacity)
        tables = (schedule.positions, schedule.slots, schedule.visible)
        return jax.lax.scan(step, state, tables)[0][0]

    expected = full(model)(params, text, tokens)
    found = cached(params, text, tokens)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


MODEL = tiny.transformer(decoder_inputs="row_start_above")


def greedy_by_hand(model, params, text, weight=1.0):
    """Argmax of the whole uncached forward pass, one position after another."""
    tokens = np.zeros((len(text), model.num_tokens), np.int32)
    for position in range(model.num_tokens):
        logits = full(model)(params, text, jnp.asarray(tokens))
        if weight != 1.0:
            without = full(model)(params, jnp.zeros_like(text), jnp.asarray(tokens))
            logits = guided(logits, without, weight)
        tokens[:, position] = np.argmax(logits[:, position], axis=-1)
    return tokens


@pytest.mark.parametrize("weight", [1.0, 1.7])
def test_temperature_zero_takes_the_best_token(weight):
    params, text = tiny.random_params(MODEL), tiny.prompts(3)
    draw = sampler(MODEL, temperature=0.0, guidance_weight=weight)
    found = draw(params, text, tiny.keys(3))
    np.testing.assert_array_equal(found, greedy_by_hand(MODEL, params, text, weight))
    np.testing.assert_array_equal(found, draw(params, text, tiny.keys(3, seed=1)))
    assert len({row.tobytes() for row in np.asarray(found)}) > 1


def test_draws_follow_the_probabilities_of_the_model():
    """The first token over many keys, against the softmax at the first position."""
    model = tiny.transformer(rows=1, columns=2, attention_kernel=None)
    params, text = tiny.random_params(model, scale=0.3), tiny.prompts(1)
    logits = full(model)(params, text, jnp.zeros((1, 2), jnp.int32))[0, 0]
    count = 4000
    many = jnp.tile(text, (count, 1))
    for temperature in (1.0, 2.0):
        draw = sampler(model, temperature=temperature)
        drawn = np.asarray(draw(params, many, tiny.keys(count)))[:, 0]
        share = np.bincount(drawn, minlength=model.codebook_size) / count
        expected = jax.nn.softmax(logits / temperature)
        # Five standard deviations of the share of any one token.
        np.testing.assert_allclose(share, expected, atol=5 * 0.5 / np.sqrt(count))


def test_guidance_weights_one_and_zero():
    params, text, keys = tiny.random_params(MODEL), tiny.prompts(3), tiny.keys(3)
    plain = sampler(MODEL)(params, text, keys)
    almost = sampler(MODEL, guidance_weight=1.0 + 1e-7)(params, text, keys)
    np.testing.assert_array_equal(plain, almost)  # the guided program, at weight 1
    unconditional = sampler(MODEL)(params, jnp.zeros_like(text), keys)
    zero = sampler(MODEL, guidance_weight=0.0)(params, text, keys)
    np.testing.assert_array_equal(zero, unconditional)
    assert (np.asarray(plain) != unconditional).any()


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_cutoff_keeps_improbable_tokens_out(weight):
    params = tiny.random_params(MODEL, scale=0.3)
    text, keys = jnp.tile(tiny.prompts(2), (20, 1)), tiny.keys(40)

    def least_ratio(cutoff):
        """Least conditional probability of a drawn token, as a share of the best one's."""
        draw = sampler(MODEL, cutoff=cutoff, guidance_weight=weight, temperature=2.0)
        tokens = draw(params, text, keys)
        logits = full(MODEL)(params, text, tokens)
        drawn = jnp.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
        return float(jnp.exp(drawn - logits.max(-1)).min())

    assert least_ratio(0.3) >= 0.3 * (1 - 1e-4)
    assert least_ratio(0.0) < 0.3


@pytest.mark.parametrize(
    "weights",
    [
        (1.5, -0.7),
        pytest.param((0.25, 0.75), marks=pytest.mark.slow),
        pytest.param((0.0, 2.0), marks=pytest.mark.slow),
    ],
)
def test_several_texts_are_added_up(weights):
    """Each token is the one its key draws from logits put together by hand."""
    params, keys = tiny.random_params(MODEL), tiny.keys(4)
    texts = jnp.stack([tiny.prompts(2), tiny.prompts(2, seed=1)], axis=1)
    tokens = sampler(MODEL, guidance_weight=weights)(params, texts, keys)
    two_each = jnp.repeat(texts, 2, axis=0)
    without = full(MODEL)(params, jnp.zeros_like(two_each[:, 0]), tokens)
    logits = without
    for index, weight in enumerate(weights):
        logits += weight * (full(MODEL)(params, two_each[:, index], tokens) - without)
    np.testing.assert_array_equal(tokens, redrawn(keys, logits))


@pytest.mark.slow
def test_one_text_with_a_weight_is_guidance():
    params, text, keys = tiny.random_params(MODEL), tiny.prompts(3), tiny.keys(3)
    alone = sampler(MODEL, guidance_weight=1.7)(params, text, keys)
    listed = sampler(MODEL, guidance_weight=(1.7,))(params, text[:, None], keys)
    np.testing.assert_array_equal(alone, listed)
    # A second text of weight 0 changes nothing either.
    both = jnp.stack([text, text[::-1]], axis=1)
    beside = sampler(MODEL, guidance_weight=(1.7, 0.0))(params, both, keys)
    np.testing.assert_array_equal(alone, beside)


@pytest.mark.slow
def test_samples_of_a_prompt_share_its_encoding_and_nothing_else():
    params, text, keys = tiny.random_params(MODEL), tiny.prompts(2), tiny.keys(6)
    draw = sampler(MODEL, guidance_weight=1.5)
    shared = draw(params, text, keys)
    np.testing.assert_array_equal(shared, draw(params, jnp.repeat(text, 3, axis=0), keys))
    assert len({row.tobytes() for row in np.asarray(shared)}) == 6


@pytest.mark.parametrize(
    ("convention", "length"),
    [
        pytest.param("raster", 7, marks=pytest.mark.slow),
        ("row_start_above", 7),
        ("row_start", 20),
    ],
)
def test_a_prefix_is_given_and_the_rest_drawn_after_it(convention, length):
    model = tiny.transformer(decoder_inputs=convention)
    params, text, keys = tiny.random_params(model), tiny.prompts(3), tiny.keys(3)
    prefix = tiny.pictures_tokens(3, model)[:, :length]
    draw = sampler(model, guidance_weight=1.5)
    tokens = np.asarray(draw(params, text, keys, prefix))
    np.testing.assert_array_equal(tokens[:, :length], prefix)
    logits = guided(
        full(model)(params, text, tokens), full(model)(params, jnp.zeros_like(text), tokens), 1.5
    )
    np.testing.assert_array_equal(tokens[:, length:], redrawn(keys, logits)[:, length:])


@pytest.mark.slow
def test_its_own_beginning_continues_a_picture_as_it_was():
    params, text, keys = tiny.random_params(MODEL), tiny.prompts(3), tiny.keys(3)
    draw = sampler(MODEL)
    tokens = draw(params, text, keys)
    np.testing.assert_array_equal(draw(params, text, keys, tokens[:, :11]), tokens)
    np.testing.assert_array_equal(draw(params, text, keys, tokens[:, :0]), tokens)


@pytest.mark.slow
def test_top_k_and_top_p_draw_among_the_best():
    params, text = tiny.random_params(MODEL, scale=0.3), tiny.prompts(2)
    keys = tiny.keys(40)

    def ranks_and_shares(**settings):
        tokens = sampler(MODEL, temperature=2.0, guidance_weight=1.5, **settings)(
            params, text, keys
        )
        many = jnp.repeat(text, 20, axis=0)
        with_text = full(MODEL)(params, many, tokens)
        without = full(MODEL)(params, jnp.zeros_like(many), tokens)
        logits = np.asarray(guided(with_text, without, 1.5)) / 2.0
        drawn = np.take_along_axis(logits, np.asarray(tokens)[..., None], axis=-1)
        better = logits > drawn + 1e-5
        return better.sum(-1), (np.asarray(jax.nn.softmax(logits)) * better).sum(-1)

    ranks, shares = ranks_and_shares()
    assert ranks.max() > 5 and shares.max() > 0.8
    assert ranks_and_shares(top_k=3)[0].max() == 2
    # A token may be drawn while those better than it have less than the share.
    shares = ranks_and_shares(top_p=0.6)[1]
    assert 0.3 < shares.max() < 0.6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"top_k": 0}, "top_k is 0"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"cutoff": 1.0}, "cutoff is 1.0"),
        ({"guidance_weight": (1.0, 2.0)}, "2 guidance weights for 1 texts a prompt"),
        ({"guidance_weight": float("nan")}, "must be finite"),
        ({"keys": tiny.keys(3)}, "3 pictures cannot be shared by 2 prompts"),
        ({"prefix": jnp.zeros((2, 21), jnp.int32)}, "the prefix has 21 tokens"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    arguments = {"keys": tiny.keys(2), **settings}
    with pytest.raises(UserError, match=message):
        generate_tokens(MODEL, None, tiny.prompts(2), **arguments)


def test_a_picture_depends_on_its_own_prompt_and_key():
    params, text, keys = tiny.random_params(MODEL), tiny.prompts(4), tiny.keys(4)
    draw = sampler(MODEL, guidance_weight=1.5)
    tokens = draw(params, text, keys)
    order = np.array([2, 0, 3, 1])
    np.testing.assert_array_equal(draw(params, text[order], keys[order]), tokens[order])
    np.testing.assert_array_equal(draw(params, text[1:2], keys[1:2]), tokens[1:2])
    assert (np.asarray(draw(params, text, tiny.keys(4, seed=1))) != tokens).any()


def test_eight_captions_are_learnt_by_heart_and_drawn_back():
    model = tiny.transformer(d_model=32, head_dim=16, mlp_dim=64, decoder_inputs="raster")
    rng = np.random.default_rng(0)
    text = jnp.asarray(rng.integers(2, tiny.VOCAB, size=(8, tiny.TEXT)), jnp.int32)
    tokens = tiny.pictures_tokens(8, model)
    params = tiny.random_params(model, scale=0.15)
    optimizer = optax.adam(1e-2)

    @jax.jit
    def train(params):
        def loss(params):
            return token_cross_entropy(model.apply({"params": params}, text, tokens), tokens)

        def step(state, _):
            params, optimizer_state = state
            value, gradients = jax.value_and_grad(loss)(params)
            updates, optimizer_state = optimizer.update(gradients, optimizer_state)
            return (optax.apply_updates(params, updates), optimizer_state), value

        state = params, optimizer.init(params)
        (params, _), values = jax.lax.scan(step, state, length=200)
        return params, values

    params, values = train(params)
    assert values[-1] < 0.05 < values[0]
    drawn = sampler(model, temperature=0.0)(params, text, tiny.keys(8))
    np.testing.assert_array_equal(drawn, tokens)
