"""Contract: a picture depends on its prompt, its number and the seed, and on nothing else."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.sampling.pictures import Sampler
from tests.models import tiny

pytestmark = pytest.mark.optimised

TOKENIZER = tiny.tokenizer()
MODEL = tiny.transformer()
TEXT = np.asarray(tiny.prompts(3))


@functools.cache
def sampler(**settings):
    return Sampler(
        MODEL,
        tiny.random_params(MODEL),
        TOKENIZER,
        tiny.random_params(TOKENIZER, seed=1),
        **settings,
    )


@functools.cache
def pictures():
    return sampler(batch_size=4)(TEXT, num_samples=2)


def test_shape_and_variety():
    assert pictures().shape == (3, 2, 16, 20, 3)
    assert pictures().dtype == np.uint8
    assert len({picture.tobytes() for picture in pictures().reshape(6, -1)}) == 6


def test_batch_size_changes_no_picture():
    for batch_size in (1, 16):
        again = sampler(batch_size=batch_size)(TEXT, num_samples=2)
        np.testing.assert_array_equal(again, pictures())


def test_order_and_company_change_no_picture():
    draw = sampler(batch_size=4)
    np.testing.assert_array_equal(draw(TEXT[[2, 0, 1]], num_samples=2), pictures()[[2, 0, 1]])
    np.testing.assert_array_equal(draw(TEXT[1:2], num_samples=2), pictures()[1:2])
    np.testing.assert_array_equal(draw(TEXT, num_samples=3)[:, :2], pictures())


def test_the_seed_changes_every_picture():
    other = sampler(batch_size=4)(TEXT, num_samples=2, seed=1)
    assert (other != pictures()).any((2, 3, 4)).all()


@pytest.mark.slow
def test_a_prefix_goes_to_every_picture_of_its_prompt():
    draw = sampler(batch_size=4)
    whole = np.asarray(tiny.pictures_tokens(3, MODEL))
    images = draw(TEXT, num_samples=2, prefix=whole)
    decoded = TOKENIZER.apply(
        {"params": draw.tokenizer_params}, jnp.asarray(whole), method="decode"
    )
    expected = np.round(np.asarray(decoded) * 255).astype(np.uint8)
    assert np.abs(images[:, 0].astype(int) - expected).max() <= 1  # compiled otherwise
    np.testing.assert_array_equal(images[:, 0], images[:, 1])
    with pytest.raises(UserError, match="encode the picture with this run's tokenizer"):
        draw(TEXT, prefix=whole + 13)


@pytest.mark.slow
def test_several_texts_a_prompt_and_top_k():
    both = np.stack([TEXT, TEXT[::-1]], axis=1)
    draw = sampler(batch_size=4, guidance_weight=(1.5, -0.5), top_k=5, top_p=0.9)
    images = draw(both, num_samples=2)
    np.testing.assert_array_equal(draw(both[1:], num_samples=1)[:, 0], images[1:, 0])
    # One text of weight 1 is the plain prompt, whichever way it is written.
    np.testing.assert_array_equal(
        sampler(batch_size=4, guidance_weight=(1.0,))(TEXT[:, None], num_samples=2), pictures()
    )


def test_progress_counts_to_the_number_of_pictures():
    seen = []
    sampler(batch_size=4)(
        TEXT, num_samples=2, on_progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(4, 6), (6, 6)]
