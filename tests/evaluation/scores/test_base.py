"""Pictures come back as they are, in order and as often as asked; means have honest intervals."""

import numpy as np
import pytest
from PIL import Image

from babeldraw.errors import UserError
from babeldraw.evaluation.scores.base import Pictures, bootstrap, evenly, mean_result
from babeldraw.evaluation.shares import wilson


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 5, 6, 3), np.uint8)


def test_batches_are_in_order_and_repeat(images):
    pictures = Pictures(images)
    for _ in range(2):
        batches = list(pictures.batches(3))
        assert [len(batch) for batch in batches] == [3, 3, 1]
        np.testing.assert_array_equal(np.concatenate(batches), images)
    assert len(pictures) == 7


def test_a_batch_ends_where_the_size_changes(images):
    others = np.zeros((2, 4, 4, 3), np.uint8)
    pictures = Pictures([*images[:4], *others, images[4]])
    shapes = [batch.shape[:3] for batch in pictures.batches(3)]
    assert shapes == [(3, 5, 6), (1, 5, 6), (2, 4, 4), (1, 5, 6)]


def test_a_folder_gives_its_pictures_by_name(tmp_path, images):
    for index, image in enumerate(images):
        folder = tmp_path / f"{index // 4:02d}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / f"{index}.png")
    (tmp_path / "report.json").write_text("{}")
    pictures = Pictures.of_folder(tmp_path)
    np.testing.assert_array_equal(np.stack(list(pictures)), images)
    assert pictures.digest() == Pictures(images).digest()
    assert pictures.digest() != Pictures(images[::-1]).digest()


def test_a_folder_without_pictures_is_named(tmp_path):
    with pytest.raises(UserError, match="holds no picture"):
        Pictures.of_folder(tmp_path)
    with pytest.raises(UserError, match="not a folder"):
        Pictures.of_folder(tmp_path / "none")
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"a\.png cannot be read"):
        list(Pictures.of_folder(tmp_path))


def test_some_are_spread_evenly(images):
    assert list(evenly(7, 3)) == [0, 2, 4]
    assert list(evenly(3, 7)) == [0, 1, 2]
    np.testing.assert_array_equal(np.stack(list(Pictures(images).spread(3))), images[[0, 2, 4]])


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(1)
    samples = rng.exponential(size=(100, 60))
    inside = [low <= 1 <= high for low, high in map(bootstrap, samples)]
    assert 85 <= sum(inside) <= 99
    result = mean_result(samples[0])
    assert result.interval == bootstrap(samples[0])
    np.testing.assert_allclose(result.value, samples[0].mean())
    for share in (0.0, 1.0):  # all alike: no resampling differs, and yet it is not sure
        assert mean_result(np.full(24, share)).interval == wilson(share, 24)
    assert mean_result(np.full(24, 0.5)).interval == (0.5, 0.5)
    with pytest.raises(UserError, match="no picture"):
        mean_result(np.zeros(0))
