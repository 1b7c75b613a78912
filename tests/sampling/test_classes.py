"""Contract: pictures of classes, or of nothing, come of the program that draws those of texts."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.models.image_decoder import NO_CLASS
from babeldraw.sampling.generate import generate_tokens
from babeldraw.sampling.pictures import Sampler
from tests.models import tiny
from tests.sampling.by_hand import full, guided, nothing, redrawn, sampler

MODEL = tiny.image_decoder()
WITHOUT = tiny.image_decoder(num_classes=0)


def test_classes_are_guided_and_added_up():
    """Each token is the one its key draws from logits put together by hand."""
    params, keys, weights = tiny.random_params(MODEL), tiny.keys(4), (1.5, -0.7)
    classes = jnp.asarray([[0, 1], [2, 0]])
    tokens = sampler(MODEL, guidance_weight=weights)(params, classes, keys)
    two_each = jnp.repeat(classes, 2, axis=0)
    without = full(MODEL)(params, nothing(MODEL, two_each[:, 0]), tokens)
    logits = without
    for index, weight in enumerate(weights):
        logits += weight * (full(MODEL)(params, two_each[:, index], tokens) - without)
    np.testing.assert_array_equal(tokens, redrawn(keys, logits))


def test_no_class_draws_what_the_model_without_classes_draws():
    params, keys = tiny.random_params(MODEL), tiny.keys(2)
    rest = {name: tree for name, tree in params.items() if name != "class_embedding"}
    none = jnp.full(2, NO_CLASS)
    found = sampler(MODEL)(params, none, keys)
    np.testing.assert_array_equal(found, sampler(WITHOUT)(rest, none, keys))
    assert (np.asarray(found) != sampler(MODEL)(params, none + 1, keys)).any()


def test_going_on_from_given_rows_takes_the_tokens_of_the_full_forward_pass():
    """Without any condition; one of the given tokens is drawn anew."""
    params, prefix = tiny.random_params(WITHOUT), tiny.pictures_tokens(2, WITHOUT)[:, :10]
    none = jnp.full(2, NO_CLASS)
    draw = sampler(WITHOUT, temperature=0.0, redraw=(7,))
    tokens = np.asarray(draw(params, none, tiny.keys(2), prefix))
    best = np.argmax(full(WITHOUT)(params, none, jnp.asarray(tokens)), axis=-1)
    drawn = np.isin(np.arange(20), [7, *range(10, 20)])
    np.testing.assert_array_equal(tokens[:, drawn], best[:, drawn])
    np.testing.assert_array_equal(tokens[:, ~drawn], prefix[:, ~drawn[:10]])
    assert (tokens[:, 7] != prefix[:, 7]).any()


def test_under_a_window_the_class_is_still_seen_after_a_prefix():
    """The ring keeps the place of a position that was given, along the wavefront."""
    model = tiny.image_decoder(attention_kernel=3, decoder_inputs="row_start")
    params, keys, classes = tiny.random_params(model), tiny.keys(2), jnp.asarray([2, 0])
    prefix = tiny.pictures_tokens(2, model)[:, :13]
    tokens = sampler(model, guidance_weight=1.5)(params, classes, keys, prefix)
    logits = guided(
        full(model)(params, classes, tokens),
        full(model)(params, nothing(model, classes), tokens),
        1.5,
    )
    np.testing.assert_array_equal(tokens[:, :13], prefix)
    np.testing.assert_array_equal(tokens[:, 13:], redrawn(keys, logits)[:, 13:])


@functools.cache
def pictures_of(model):
    tokenizer = tiny.tokenizer()
    params, frozen = tiny.random_params(model), tiny.random_params(tokenizer, seed=1)
    return Sampler(model, params, tokenizer, frozen, batch_size=4)


def test_a_picture_depends_on_its_class_its_number_and_the_seed():
    draw = pictures_of(MODEL)
    images = draw(np.arange(3), num_samples=2)
    assert images.shape == (3, 2, 16, 20, 3)
    assert len({picture.tobytes() for picture in images.reshape(6, -1)}) == 6
    np.testing.assert_array_equal(draw(np.asarray([[2], [0]]), num_samples=2), images[[2, 0]])
    assert [shape.shape for shape in draw.inputs(4)] == [(4, 1), (4,), (4,), ()]


def test_classes_that_the_model_does_not_have_are_refused():
    with pytest.raises(UserError, match="class 3 is asked for and the model has 3 classes"):
        pictures_of(MODEL)(np.asarray([0, 3]))
    with pytest.raises(UserError, match="class -2 is asked for"):
        pictures_of(MODEL)(np.asarray([-2]))
    with pytest.raises(UserError, match="class 0 is asked for and the model has none"):
        pictures_of(WITHOUT)(np.asarray([0]))
    with pytest.raises(UserError, match="2 guidance weights for 1 classes a prompt"):
        generate_tokens(MODEL, None, tiny.classes(2), tiny.keys(2), guidance_weight=(1.0, 2.0))
