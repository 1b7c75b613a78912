"""The three ways to 299 px are those of the packages whose names they have."""

import numpy as np

from babeldraw.evaluation.scores.resizing import for_inception
from benchmarks.made_inputs import inputs
from tests.evaluation.scores.recorded import RECORDED


def test_bicubic_is_that_of_clean_fid():
    made = inputs()
    resized = [for_inception(picture[None], "clean-fid")[0] for picture in made["pictures"]]
    resized += [for_inception(picture[None], "clean-fid")[0] for picture in made["wide"]]
    pixels = np.stack(resized)[:, ::23, ::23] * 128 + 128
    np.testing.assert_allclose(pixels, np.array(RECORDED["clean-fid"]), atol=2e-4)


def test_bilinear_weights_by_hand():
    """Of two pixels: the first way reaches the second one late, the other way symmetrically."""
    picture = np.zeros((1, 2, 2, 3), np.uint8)
    picture[:, :, 1] = 255
    row = for_inception(picture, "pytorch-fid")[0, 0, :, 0]
    np.testing.assert_allclose(row, -row[::-1], atol=1e-6)
    places = np.clip((np.arange(299) + 0.5) * 2 / 299 - 0.5, 0, 1)
    np.testing.assert_allclose(row, 2 * places - 1, atol=1e-5)
    row = for_inception(picture, "torch-fidelity")[0, 0, :, 0]
    places = np.clip(np.arange(299) * 2 / 299, 0, 1)
    np.testing.assert_allclose(row, (255 * places - 128) / 128, atol=1e-5)


def test_pictures_of_299_px_stay_as_they_are():
    picture = np.random.default_rng(0).integers(0, 256, (1, 299, 299, 3), np.uint8)
    for resizing in ("torch-fidelity", "clean-fid"):
        found = for_inception(picture, resizing)
        np.testing.assert_allclose(found * 128 + 128, picture, atol=1e-4)
