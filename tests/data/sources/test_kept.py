"""Contract: pictures of small sets are decoded once in a process, within a bound, bit for bit."""

import numpy as np
import pytest

from babeldraw.data import tasks
from babeldraw.data.picture_files.view import Needed
from babeldraw.data.sources import kept, pictures
from tests.data import made_pictures

NEEDED = Needed.by(8)


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files that were decoded."""
    files = []

    def read_image(file, **settings):
        files.append(file)
        return real(file, **settings)

    real = pictures.read_image
    monkeypatch.setattr(pictures, "read_image", read_image)
    return files


def test_decoded_once_whatever_the_task(tmp_path, decoded):
    name = made_pictures.write("folder", tmp_path / "set", *made_pictures.good_set(10))
    first = tasks.find_task(name, "train").source
    images = [first.read("train", index, NEEDED)["image"] for index in range(8)]
    assert len(decoded) == len(set(decoded)) == 8
    again = tasks.find_task(name, "train", captioned=False).source
    assert again is not first
    for index in range(8):
        np.testing.assert_array_equal(again.read("train", index, NEEDED)["image"], images[index])
    assert len(decoded) == 8


def test_large_sets_are_not_kept(tmp_path, decoded, monkeypatch):
    monkeypatch.setattr("babeldraw.data.sources.picture_source.SMALL", 7)
    name = made_pictures.write("folder", tmp_path / "set", *made_pictures.good_set(10))
    source = tasks.find_task(name, "train").source
    for _ in range(2):
        source.read("train", 0, NEEDED)
    assert len(decoded) == 2


def test_no_more_than_the_budget_and_nothing_can_be_written_to():
    pictures = {name: np.full((2, 2, 3), value, np.uint8) for value, name in enumerate("abc")}
    reads = []

    def read(name):
        reads.append(name)
        return pictures[name].copy()

    cache = kept.Kept(budget=24)
    for name in "abcabc":
        np.testing.assert_array_equal(cache.get(name, lambda name=name: read(name)), pictures[name])
    assert reads == ["a", "b", "c", "c"]
    with pytest.raises(ValueError, match="read-only"):
        cache.get("a", lambda: read("a"))[0] = 0


def test_what_cannot_be_read_is_tried_again():
    cache = kept.Kept()

    def broken():
        raise OSError("no")

    for _ in range(2):
        with pytest.raises(OSError, match="no"):
            cache.get("a", broken)
    assert cache.get("a", lambda: np.zeros((1, 1, 3), np.uint8)).shape == (1, 1, 3)
