"""Contract: a picture depends on its prompt, its number and the seed, and on nothing else."""

import functools

import numpy as np

from babeldraw.sampling.pictures import Sampler
from tests.models import tiny

TOKENIZER = tiny.tokenizer()
MODEL = tiny.transformer(rows=4, columns=4)
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
    assert pictures().shape == (3, 2, 16, 16, 3)
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


def test_progress_counts_to_the_number_of_pictures():
    seen = []
    sampler(batch_size=4)(
        TEXT, num_samples=2, on_progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(4, 6), (6, 6)]
