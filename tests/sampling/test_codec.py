"""Contract: tokens and pictures are the model's own, whatever the batch size."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.sampling.codec import Codec
from tests.models import tiny

MODEL = tiny.tokenizer()
IMAGES = tiny.images(5)


@functools.cache
def params():
    return tiny.random_params(MODEL)


@functools.cache
def codec(batch_size=2):
    return Codec(MODEL, params(), batch_size=batch_size)


def apply(method, rows):
    run = tiny.jit(lambda params, rows: MODEL.apply({"params": params}, rows, method=method))
    return run(params(), rows)


def test_tokens_are_the_models():
    expected = apply("encode", jnp.asarray(IMAGES) / 255)
    tokens = codec().encode(IMAGES)
    assert tokens.dtype == np.int32 and len(np.unique(tokens)) > 3
    np.testing.assert_array_equal(tokens, expected)


def test_pictures_are_the_models():
    tokens = np.asarray(tiny.pictures_tokens(5, MODEL))
    expected = apply("decode", jnp.asarray(tokens))
    images = codec().decode(tokens)
    assert images.dtype == np.uint8
    np.testing.assert_allclose(images, np.asarray(expected) * 255, atol=0.51)


def test_batch_size_and_company_change_nothing():
    tokens, images = codec().encode(IMAGES), codec().reconstruct(IMAGES)
    np.testing.assert_array_equal(codec(8).encode(IMAGES), tokens)
    np.testing.assert_array_equal(codec(8).reconstruct(IMAGES), images)
    np.testing.assert_array_equal(codec().encode(IMAGES[[3]]), tokens[[3]])
    np.testing.assert_array_equal(codec().decode(tokens), images)


def test_no_pictures():
    assert codec().encode(IMAGES[:0]).shape == (0, 20)
    assert codec().reconstruct(IMAGES[:0]).shape == (0, 16, 20, 3)


def test_refuses_what_does_not_fit():
    with pytest.raises(UserError, match=r"are 20 px high and 16 px wide, and this .* 16 px high"):
        codec().encode(tiny.images(1, size=(20, 16)))
    with pytest.raises(UserError, match="9 tokens a picture"):
        codec().decode(np.zeros((1, 9), np.int32))
    for token in (-1, MODEL.codebook_size):
        with pytest.raises(UserError, match="from 0 to 12"):
            codec().decode(np.full((1, 20), token, np.int32))


def test_identity_is_of_encoder_and_codebook_alone():
    identity = codec().identity
    assert len(identity) == 64 and identity == Codec(MODEL, params(), batch_size=3).identity
    other = tiny.random_params(MODEL, seed=1)
    assert Codec(MODEL, {**params(), "decoder": other["decoder"]}).identity == identity
    for name in ("encoder", "to_code", "quantizer"):
        assert Codec(MODEL, {**params(), name: other[name]}).identity != identity
