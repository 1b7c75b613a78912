"""Contract: what is given stays, what is drawn follows from it, and scores are the model's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.sampling.generate import generate_tokens
from babeldraw.sampling.pictures import Sampler
from tests.models import tiny
from tests.sampling.by_hand import full, redrawn, scored_sampler

MODEL = tiny.transformer(decoder_inputs="row_start_above")
REDRAW = (6, 7, 11, 12)  # a box in the middle of the grid of 4 rows and 5 columns


def log_probabilities(text, tokens, params):
    nats = jax.nn.log_softmax(full(MODEL)(params, text, tokens), axis=-1)
    return np.asarray(jnp.take_along_axis(nats, tokens[..., None], axis=-1)[..., 0])


def test_scores_are_mean_log_probabilities_with_the_prompt():
    """Guidance and filters change what is drawn, not what it is scored by."""
    params, text, keys = tiny.random_params(MODEL), tiny.prompts(3), tiny.keys(3)
    tokens, scores = scored_sampler(MODEL, guidance_weight=1.7, top_k=6)(params, text, keys)
    nats = log_probabilities(text, tokens, params)
    np.testing.assert_allclose(scores, nats.mean(axis=1), rtol=1e-5)
    assert len(set(np.asarray(scores).tolist())) == 3


def test_redrawn_tokens_see_what_stands_before_them_and_the_rest_stays():
    params, text, keys = tiny.random_params(MODEL), tiny.prompts(3), tiny.keys(3)
    given = tiny.pictures_tokens(3, MODEL, seed=4)
    draw = scored_sampler(MODEL, redraw=REDRAW)
    tokens, scores = draw(params, text, keys, given)
    kept = np.setdiff1d(np.arange(MODEL.num_tokens), REDRAW)
    np.testing.assert_array_equal(tokens[:, kept], given[:, kept])
    logits = full(MODEL)(params, text, tokens)
    drawn = np.asarray(tokens)[:, REDRAW]
    np.testing.assert_array_equal(drawn, redrawn(keys, logits)[:, REDRAW])
    assert (drawn != np.asarray(given)[:, REDRAW]).any()
    # The rows that follow count: a fill that fits them scores higher.
    nats = log_probabilities(text, tokens, params)[:, REDRAW[0] :]
    np.testing.assert_allclose(scores, nats.mean(axis=1), rtol=1e-5)


def test_redrawing_what_is_not_given_is_refused():
    with pytest.raises(UserError, match="positions 3 to 9 are to be drawn again and 5 tokens"):
        generate_tokens(
            MODEL,
            None,
            tiny.prompts(2),
            tiny.keys(2),
            prefix=jnp.zeros((2, 5), jnp.int32),
            redraw=(3, 9),
        )


@pytest.mark.slow
def test_a_sampler_gives_pictures_with_their_tokens_and_scores():
    tokenizer, model = tiny.tokenizer(), tiny.transformer()
    params, of_tokenizer = tiny.random_params(model), tiny.random_params(tokenizer, seed=1)
    text = np.asarray(tiny.prompts(2))
    samples = Sampler(model, params, tokenizer, of_tokenizer).generate(text, num_samples=2)
    assert samples.images.shape == (2, 2, 16, 20, 3)
    tokens = jnp.asarray(samples.tokens.reshape(4, 20))
    decode = tiny.jit(lambda params, t: tokenizer.apply({"params": params}, t, method="decode"))
    pictures = np.asarray(decode(of_tokenizer, tokens)) * 255
    assert np.abs(pictures - samples.images.reshape(4, 16, 20, 3)).max() <= 1
    nats = jax.nn.log_softmax(full(model)(params, jnp.asarray(text).repeat(2, axis=0), tokens))
    picked = jnp.take_along_axis(nats, tokens[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(samples.scores.reshape(4), picked.mean(axis=1), rtol=1e-5)
