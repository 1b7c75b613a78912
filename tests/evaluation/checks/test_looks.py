import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.evaluation.checks.looks import COLOURS, SIDE, look, worse


def test_shares_of_colours():
    pixels = np.zeros((2, 32, 32, 3), np.uint8)
    pixels[0, :8] = (255, 0, 0)
    pixels[1] = (0, 0, 18)  # half-way between the first two of eight steps, but for rounding
    shares = np.square(look(pixels)[:, 3 * SIDE**2 :] * 0.04).reshape(2, *[COLOURS] * 3)
    assert shares[0, 7, 0, 0] == pytest.approx(0.25) and shares[0, 0, 0, 0] == pytest.approx(0.75)
    assert shares[1, 0, 0, :2] == pytest.approx([0.506, 0.494], abs=1e-3)
    np.testing.assert_allclose(shares.sum(axis=(1, 2, 3)), 1)


def test_larger_pictures_are_looked_at_small():
    small = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    large = small.repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_array_equal(look(large), look(small))
    with pytest.raises(UserError, match="square pictures, and these are 32 px high and 64"):
        look(large[:, :32])


def test_worse_pictures_are_the_same_each_time():
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    for one, two in zip(worse(images), worse(images), strict=True):
        np.testing.assert_array_equal(one, two)
        assert np.abs(one.astype(int) - images).mean() > 5
