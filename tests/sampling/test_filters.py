import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.sampling.filters import keep_likely, keep_top_k, keep_top_p

PROBABILITIES = jnp.asarray([[0.1, 0.4, 0.2, 0.3], [0.25, 0.25, 0.25, 0.25]])
LOGITS = jnp.log(PROBABILITIES)


def left(filtered):
    return np.isfinite(filtered).astype(int).tolist()


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [[0, 1, 0, 0], [1, 1, 1, 1]]),
        (2, [[0, 1, 0, 1], [1, 1, 1, 1]]),
        (4, [[1] * 4] * 2),
        (99, [[1] * 4] * 2),
        (None, [[1] * 4] * 2),
    ],
)
def test_top_k(count, expected):
    assert left(keep_top_k(LOGITS, count)) == expected


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.01, [0, 1, 0, 0]),
        (0.5, [0, 1, 0, 1]),
        (0.8, [0, 1, 1, 1]),
        (1.0, [1] * 4),
        (None, [1] * 4),
    ],
)
def test_top_p(share, expected):
    found = keep_top_p(LOGITS, share)
    assert left(found) == [expected, [1] * 4]
    np.testing.assert_array_equal(found[np.isfinite(found)], LOGITS[np.isfinite(found)])


def test_top_p_leaves_out_what_top_k_did():
    assert left(keep_top_p(keep_top_k(LOGITS[:1], 2), 0.5)) == [[0, 1, 0, 0]]


def test_the_cutoff_goes_by_its_reference():
    assert left(keep_likely(jnp.zeros((1, 4)), LOGITS[:1], 0.5)) == [[0, 1, 1, 1]]
    assert left(keep_likely(jnp.zeros((1, 4)), LOGITS[:1], 0.0)) == [[1] * 4]
