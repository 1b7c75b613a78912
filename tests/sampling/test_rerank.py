import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.sampling.rerank import Reranker
from tests.models import tiny, tiny_coca

MODEL = tiny_coca.coca()
PARAMS = tiny_coca.random_params(MODEL)
RERANKER = Reranker(MODEL, PARAMS, batch_size=4)
TEXT = np.asarray(tiny.prompts(2))
IMAGES = tiny.images(6, tiny_coca.SIZE).reshape(2, 3, *tiny_coca.SIZE, 3)


def test_each_picture_is_compared_with_its_own_prompt():
    found = RERANKER(TEXT, IMAGES)  # in batches of 4, the last one filled up
    images = jnp.float32(IMAGES.reshape(6, *tiny_coca.SIZE, 3)) / 255
    texts = jnp.repeat(jnp.asarray(TEXT), 3, axis=0)
    apply = tiny.jit(lambda *inputs: MODEL.apply({"params": PARAMS}, *inputs))
    of_image, of_text, _ = apply(images, texts)
    np.testing.assert_allclose(found.reshape(6), (of_image * of_text).sum(-1), atol=1e-5)
    assert len(np.unique(found)) == 6


def test_captions_take_the_most_probable_token_until_the_end():
    pictures = tiny.images(8, tiny_coca.SIZE, seed=8)
    images = jnp.float32(pictures) / 255
    logits = tiny.jit(lambda text: MODEL.apply({"params": PARAMS}, images, text)[2])
    text = np.zeros((8, MODEL.text_length), np.int32)
    for position in range(MODEL.text_length):
        text[:, position] = 1 + np.asarray(logits(jnp.asarray(text)))[:, position, 1:].argmax(-1)
    # A token that some of these captions have, and others later or not at all, ends them here.
    first = [(text == token).argmax(1) + 9 * (text != token).all(1) for token in range(tiny.VOCAB)]
    end = max(range(1, tiny.VOCAB), key=lambda token: len(set(first[token].tolist())))
    assert len(set(first[end].tolist())) > 1
    text[np.arange(MODEL.text_length) > first[end][:, None]] = 0
    found = Reranker(MODEL, PARAMS, eos_id=end, batch_size=8).caption(pictures)
    np.testing.assert_array_equal(found, text)


def test_pictures_of_another_size_are_refused():
    with pytest.raises(
        UserError, match="are 12 px high and 8 px wide and this CoCa was trained on"
    ):
        RERANKER.embed_images(tiny.images(1, tiny_coca.SIZE[::-1]))
