"""Contract: every block of a network that sees pictures is read, without its class or prompt."""

import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.sampling import features
from tests.models import tiny, tiny_coca

PICTURES = tiny.images(5)


def test_a_decoder_reads_the_tokens_of_a_picture_and_the_empty_prompt():
    tokenizer, model = tiny.tokenizer(), tiny.transformer(decoder_layers=3)
    frozen, params = tiny.random_params(tokenizer, seed=2), tiny.random_params(model)
    reads = features.of_decoder(model, params, tokenizer, frozen, batch_size=2)
    found = reads(PICTURES)
    assert found.shape == (5, 3, 16) and found.dtype == np.float32
    assert np.ptp(found, axis=0).min() > 0, "all pictures look alike to it"

    @tiny.jit
    def by_hand(params, frozen, images):
        tokens = tokenizer.apply({"params": frozen}, images / 255, method="encode")
        empty = jnp.zeros((5, model.text_length), jnp.int32)
        _, left = model.apply({"params": params}, empty, tokens, mutable=["features"])
        return left["features"]["decoder"]["blocks"]

    expected = by_hand(params, frozen, PICTURES.astype(np.float32))
    np.testing.assert_allclose(found, np.swapaxes(expected, 0, 1), atol=1e-4)


def test_a_tokenizer_and_a_captioner_have_blocks_too():
    tokenizer, captioner = tiny.tokenizer(encoder_layers=2), tiny_coca.coca(image_layers=2)
    found = features.of_tokenizer(tokenizer, tiny.random_params(tokenizer), 4)(PICTURES)
    assert found.shape == (5, 2, 16)
    small = tiny.images(3, tiny_coca.SIZE)
    seen = features.of_captioner(captioner, tiny_coca.random_params(captioner), 4)(small)
    assert seen.shape == (3, 2, 16) and np.isfinite(seen).all()


def test_pictures_of_another_size_are_refused():
    tokenizer = tiny.tokenizer()
    reads = features.of_tokenizer(tokenizer, tiny.random_params(tokenizer))
    with pytest.raises(UserError, match="are 8 px high and 12 px wide, and this network"):
        reads(tiny.images(1, (8, 12)))
