import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from babeldraw.errors import UserError
from babeldraw.models.masks import GridMask, attention_mask, causal_mask, conv_mask

grids = st.tuples(st.integers(1, 6), st.integers(1, 6))
kernels = st.sampled_from([1, 3, 5, 7, 11])


def definition(rows, columns, kernel):
    """The sentence of the specification, pair by pair."""
    half = (kernel - 1) // 2
    mask = np.zeros((rows * columns,) * 2, bool)
    for r in range(rows):
        for c in range(columns):
            for r2 in range(max(0, r - half), r + 1):
                for c2 in range(columns):
                    earlier = r2 * columns + c2 <= r * columns + c
                    mask[r * columns + c, r2 * columns + c2] = abs(c2 - c) <= half and earlier
    return mask


def definition_with_wrap(rows, columns, kernel):
    """The same window as offsets in raster order, which know no edges."""
    half = (kernel - 1) // 2
    n = rows * columns
    mask = np.zeros((n, n), bool)
    for query in range(n):
        for up in range(half + 1):
            for across in range(-half, half + 1):
                key = query - up * columns + across
                if 0 <= key <= query:
                    mask[query, key] = True
    return mask


@given(grids, kernels)
@settings(max_examples=60, deadline=None)
def test_conv_mask_is_its_definition(grid, kernel):
    np.testing.assert_array_equal(conv_mask(*grid, kernel), definition(*grid, kernel))


@given(grids, kernels)
@settings(max_examples=60, deadline=None)
def test_wrapping_conv_mask_is_its_definition(grid, kernel):
    expected = definition_with_wrap(*grid, kernel)
    np.testing.assert_array_equal(conv_mask(*grid, kernel, wrap=True), expected)


def test_keys_a_query_with_the_published_kernel():
    keys = conv_mask(32, 32, 11).sum(1)
    assert keys.mean() == pytest.approx(51.1, abs=0.05)
    assert keys.max() == 61
    assert keys.sum() / causal_mask(32, 32).sum() == pytest.approx(0.10, abs=0.005)
    # The furthest key back, which bounds a ring cache: 5 rows and 5 columns.
    queries, seen = np.nonzero(conv_mask(32, 32, 11))
    assert (queries - seen).max() == 165


def test_a_kernel_over_the_whole_grid_is_causal():
    np.testing.assert_array_equal(conv_mask(4, 5, 11), causal_mask(4, 5))
    np.testing.assert_array_equal(attention_mask(4, 5, None), causal_mask(4, 5))
    np.testing.assert_array_equal(attention_mask(4, 5, 3, True), conv_mask(4, 5, 3, True))


@pytest.mark.parametrize(("kernel", "wrap"), [(3, False), (3, True), (None, False)])
def test_the_first_position_may_be_open_to_all(kernel, wrap):
    mask = attention_mask(4, 5, kernel, wrap)
    opened = GridMask(4, 5, kernel, wrap, opens_first=True).dense
    np.testing.assert_array_equal(opened[:, 1:], mask[:, 1:])
    assert opened[:, 0].all() and mask[:, 0].all() == (kernel is None)


@pytest.mark.parametrize("kernel", [0, 2, -3])
def test_a_kernel_without_a_middle_is_refused(kernel):
    with pytest.raises(UserError, match="attention_kernel must be odd"):
        conv_mask(4, 4, kernel)
