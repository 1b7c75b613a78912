"""Contract: full cache, ring and wavefront draw the same tokens, those of the uncached model."""

import functools

import numpy as np
import pytest

from tests.models import tiny
from tests.sampling.by_hand import full, guided, nothing, redrawn, sampler

WEIGHT = 1.3


@functools.cache
def model_of(grid, kernel, convention, make=tiny.transformer):
    rows, columns = grid
    return make(rows=rows, columns=columns, attention_kernel=kernel, decoder_inputs=convention)


def check(grid, kernel, convention, orders, make=tiny.transformer):
    model = model_of(grid, kernel, convention, make)
    params, keys = tiny.random_params(model), tiny.keys(2)
    text = tiny.prompts(2) if make is tiny.transformer else tiny.classes(2)
    found = {
        order: np.asarray(
            sampler(model, schedule=order, guidance_weight=WEIGHT)(params, text, keys)
        )
        for order in orders
    }
    for tokens in found.values():
        with_text = full(model)(params, text, tokens)
        without = full(model)(params, nothing(model, text), tokens)
        expected = redrawn(keys, guided(with_text, without, WEIGHT))
        np.testing.assert_array_equal(tokens, expected)
        np.testing.assert_array_equal(tokens, found[orders[0]])
    assert len(np.unique(found[orders[0]])) > 5


ALL = ("wavefront", "raster", "raster_full_cache")


@pytest.mark.parametrize("grid", [(6, 9), (9, 5)], ids=["wide", "high"])
def test_rectangles(grid):
    check(grid, 3, "row_start_above", ALL[:2])


def test_classes():
    check((6, 9), 3, "row_start", ALL[:2], tiny.image_decoder)


@pytest.mark.slow
@pytest.mark.parametrize("convention", ["row_start", "row_start_above"])
@pytest.mark.parametrize("kernel", [3, 7, 11])
@pytest.mark.parametrize("grid", [(8, 8), (12, 20), (20, 12), (32, 32)])
def test_every_size(grid, kernel, convention):
    check(grid, kernel, convention, ALL)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [3, 11])
def test_the_ring_serves_raster_models(kernel):
    check((16, 16), kernel, "raster", ALL[1:])


@pytest.mark.slow
@pytest.mark.parametrize("length", [100, 128, 250])
def test_a_prefix_under_the_wavefront(length):
    model = model_of((16, 16), 7, "row_start_above")
    params, text, keys = tiny.random_params(model), tiny.prompts(2), tiny.keys(2)
    prefix = tiny.pictures_tokens(2, model)[:, :length]
    wavefront, raster = (
        np.asarray(sampler(model, schedule=order)(params, text, keys, prefix)) for order in ALL[:2]
    )
    np.testing.assert_array_equal(wavefront, raster)
    expected = redrawn(keys, full(model)(params, text, wavefront))
    np.testing.assert_array_equal(wavefront[:, length:], expected[:, length:])
    np.testing.assert_array_equal(wavefront[:, :length], prefix)
