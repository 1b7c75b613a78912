"""Contract: sampling with a cache draws what the model itself says, token by token."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from babeldraw.objectives.losses import token_cross_entropy
from babeldraw.sampling.generate import CachedDecoder, generate_tokens
from tests.models import tiny


@functools.cache
def sampler(model, **settings):
    """`draw(params, text, keys) -> tokens`, compiled."""
    return tiny.jit(
        lambda params, text, keys: generate_tokens(model, params, text, keys, **settings)
    )


@functools.cache
def full(model):
    return tiny.jit(lambda params, text, tokens: model.apply({"params": params}, text, tokens))


def guided(conditional, unconditional, weight):
    return unconditional + weight * (conditional - unconditional)


@pytest.mark.parametrize(
    ("convention", "kernel", "wrap"),
    [
        ("raster", None, False),
        ("raster", 3, True),
        ("row_start", 3, False),
        ("row_start_above", 3, False),
        ("row_start_above", 5, False),
    ],
)
def test_cached_logits_are_those_of_the_full_forward_pass(convention, kernel, wrap):
    model = tiny.transformer(
        decoder_inputs=convention, attention_kernel=kernel, attention_wrap=wrap
    )
    params = tiny.random_params(model)
    text, tokens = tiny.prompts(2), tiny.pictures_tokens(2, model)

    @tiny.jit
    def cached(params, text, tokens):
        decoder = CachedDecoder(model, params, text)

        def step(caches, position):
            # The token at a position and those after it are not known yet when it is drawn.
            known = jnp.where(jnp.arange(model.num_tokens) < position, tokens, 0)
            logits, caches = decoder.step(known, position, caches)
            return caches, logits

        _, logits = jax.lax.scan(step, decoder.caches, jnp.arange(model.num_tokens))
        return logits.swapaxes(0, 1)

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
