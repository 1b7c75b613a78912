"""Cosines and ranks of vectors that a test makes: ties count against, repeated texts for."""

import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.evaluation.scores import text_match
from babeldraw.evaluation.scores.base import Pictures
from babeldraw.evaluation.scores.text_match import TextMatch


class Angles:
    """A picture is the angle that its first pixel says, a text the angle that it says."""

    title, settings, batch_size = "angles", {}, 4

    def embed_images(self, images):
        return unit(images[:, 0, 0, 0])

    def embed_texts(self, texts):
        return unit(np.array([float(text or 0) for text in texts]))


def unit(degrees):
    radians = np.deg2rad(degrees.astype(np.float64))
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def score(degrees, texts):
    rows = np.zeros((len(degrees), 1, 1, 3), np.uint8)
    rows[:, 0, 0, 0] = degrees
    return TextMatch(Angles()).of(Pictures(rows), [str(text) for text in texts], None)


def test_by_hand():
    found = score([10, 20, 30, 100], [11, 30, 20, 99])
    np.testing.assert_allclose(found["cosine"].per_picture[0], np.cos(np.deg2rad(1)), rtol=1e-5)
    np.testing.assert_array_equal(found["text_of_picture_r1"].per_picture, [1, 0, 0, 1])
    np.testing.assert_array_equal(found["picture_of_text_r1"].per_picture, [1, 0, 0, 1])
    assert found["text_of_picture_r1"].value == 0.5
    assert found["text_of_picture_r5"].value == 1
    assert "only 4" in found["text_of_picture_r5"].warnings[0]
    assert found["text_of_picture_r1"].warnings == ()


def test_pictures_of_one_text_are_all_right_for_it():
    found = score([10, 12, 50], [10, 10, 50])
    assert found["picture_of_text_r1"].value == 1
    assert found["text_of_picture_r1"].value == 1


def test_towers_that_see_nothing_find_nothing():
    """Different texts whose vectors are one: all ties."""
    found = score([30, 30, 30], ["30", "30.0", "30.00"])
    for kind in ("text_of_picture", "picture_of_text"):
        assert found[f"{kind}_r1"].value == 0
        assert found[f"{kind}_r5"].value == 1


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    degrees, texts = rng.integers(0, 180, (2, 30))
    whole = score(degrees, texts)
    monkeypatch.setattr(text_match, "_BLOCK", 7)
    for name, result in score(degrees, texts).items():
        np.testing.assert_array_equal(result.per_picture, whole[name].per_picture)


def test_each_picture_needs_its_text():
    with pytest.raises(UserError, match="2 pictures and 1 texts"):
        score([1, 2], [1])
