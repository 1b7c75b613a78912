"""Contract: pictures that are drawn in groups are the same bits in any batch and on any devices."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from babeldraw.parallel.mesh import make_mesh
from babeldraw.sampling import places
from babeldraw.sampling.groups import draw_rows
from babeldraw.sampling.pictures import Sampler
from tests.models import tiny

pytestmark = pytest.mark.optimised

TOKENIZER = tiny.tokenizer()
MODEL = tiny.transformer()
TEXT = np.asarray(tiny.prompts(5))
ROWS = TEXT[[0, 0, 1, 1, 2, 2, 3, 3, 4, 4]]
NUMBERS = np.tile([0, 1], 5)


@functools.cache
def sampler(batch_size=2):
    params = tiny.random_params(MODEL), tiny.random_params(TOKENIZER, seed=1)
    return Sampler(MODEL, params[0], TOKENIZER, params[1], together=2, batch_size=batch_size)


def drawn(prompts=ROWS, numbers=NUMBERS, shared=1, mesh=None, batch_size=2):
    """Pictures, tokens and scores of all rows."""
    found = {}
    used = sampler(batch_size)
    if mesh is not None:
        used = dataclasses.replace(used, params=places.put_params(used.params, mesh))
    draw_rows(used, prompts, numbers, shared=shared, on_batch=found.setdefault)
    assert list(found) == sorted(found)
    return [np.concatenate(part) for part in zip(*found.values(), strict=True)]


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_rows_are_the_samples_of_their_prompts():
    whole = dataclasses.replace(sampler(), together=None).generate(TEXT, num_samples=2)
    images, tokens, _ = drawn()
    np.testing.assert_array_equal(images.reshape(whole.images.shape), whole.images)
    np.testing.assert_array_equal(tokens.reshape(whole.tokens.shape), whole.tokens)


def test_the_batch_changes_no_bit_and_nor_does_where_one_begins():
    """Batches of one group, of three and, where two prompts are drawn already, of three others."""
    assert equal(drawn(), drawn(batch_size=6))
    assert equal(drawn(ROWS[4:], NUMBERS[4:], batch_size=6), [part[4:] for part in drawn()])


def test_nor_do_devices():
    mesh = make_mesh({"data": 4}, jax.devices()[:4])
    assert equal(drawn(mesh=mesh, batch_size=16), drawn())


def test_a_prompt_is_encoded_once_for_its_samples():
    assert np.array_equal(drawn(shared=2)[1], drawn()[1])
