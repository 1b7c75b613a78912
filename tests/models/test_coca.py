"""Contract: embeddings of length 1 that read all of a picture or a text; captions are causal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.models.picture_encoder import MAX_SCALE
from babeldraw.parallel.rules import unbox
from tests.models import tiny, tiny_coca

MODEL = tiny_coca.coca()
PARAMS = tiny_coca.random_params(MODEL)
IMAGES = jnp.asarray(tiny.images(2, tiny_coca.SIZE)) / 255
TEXT = jnp.array([[3, 4, 5, 1, 0, 0], [7, 8, 9, 10, 11, 1]])
RUN = tiny.jit(lambda params, images, text: MODEL.apply({"params": params}, images, text))


def test_embeddings_have_length_one_and_differ():
    of_image, of_text, logits = RUN(PARAMS, IMAGES, TEXT)
    assert logits.shape == (2, tiny.TEXT, tiny.VOCAB)
    for embedding in (of_image, of_text):
        np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, rtol=1e-5)
        assert np.abs(embedding[0] - embedding[1]).max() > 0.1


@pytest.mark.parametrize("position", range(tiny.TEXT))
def test_a_token_reaches_later_captions_and_the_embedding(position):
    changed = TEXT.at[1, position].set(13)
    before, after = RUN(PARAMS, IMAGES, TEXT), RUN(PARAMS, IMAGES, changed)
    same = np.abs(after[2][1] - before[2][1]).max(axis=-1)
    assert same[: position + 1].max() < 1e-5
    assert (same[position + 1 :] > 1e-3).all()
    moved = np.abs(after[1][1] - before[1][1]).max()
    assert (moved > 1e-3) == (position < tiny.TEXT - 1)
    np.testing.assert_allclose(after[0], before[0], atol=1e-6)


def test_padding_changes_no_embedding():
    """Whatever the embedding of the padding token is."""
    table = PARAMS["text_embedding"]["table"]
    other = {**PARAMS, "text_embedding": {"table": table.at[0].add(5.0)}}
    found, expected = RUN(other, IMAGES, TEXT)[1], RUN(PARAMS, IMAGES, TEXT)[1]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_whole_picture_reaches_its_embedding_and_caption():
    of_image, of_text, logits = RUN(PARAMS, IMAGES, TEXT)
    for corner in (np.s_[0, 0, 0], np.s_[0, -1, -1]):
        moved = RUN(PARAMS, IMAGES.at[corner].add(0.5), TEXT)
        assert np.abs(moved[0][0] - of_image[0]).max() > 1e-4
        assert (np.abs(moved[2][0] - logits[0]).max(axis=-1) > 1e-4).all()
        np.testing.assert_allclose(moved[1], of_text, atol=1e-6)


def test_scale_starts_at_the_temperature_and_is_bounded():
    fresh = tiny.jit(MODEL.init)(jax.random.key(0), IMAGES, TEXT)
    measure = tiny.jit(lambda variables: MODEL.apply(variables, method="similarity_scale"))
    assert float(measure({"params": unbox(fresh["params"])})) == pytest.approx(1 / 0.07)
    high = {**PARAMS, "scale": jnp.float32(9.0)}
    assert float(measure({"params": high})) == MAX_SCALE


@pytest.mark.parametrize(
    ("setting", "says"), [({"patch_size": 3}, "PATCH_SIZE 3"), ({"num_heads": 3}, "num_heads 3")]
)
def test_sizes_that_do_not_divide_are_refused(setting, says):
    with pytest.raises(UserError, match=says):
        tiny_coca.random_params(tiny_coca.coca(**setting))
