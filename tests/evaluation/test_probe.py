"""Contract: a softmax layer a block, trained the same each time, on the classes of pictures."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from babeldraw.errors import UserError
from babeldraw.evaluation import probe, probe_files
from babeldraw.files import path

LABELS = np.arange(60) % 3


@pytest.fixture(scope="module")
def features():
    """Block 0 is noise, block 1 tells the classes, block 2 too, far from 0."""
    rng = np.random.default_rng(0)
    noise, telling, far = (rng.normal(size=(60, 4)).astype(np.float32) for _ in range(3))
    telling[:, :3] += 6 * np.eye(3)[LABELS]
    far[:, 1:] = 5.0
    far[:, 0] = 1000 + LABELS
    return np.stack([noise, telling, far], axis=1)


@pytest.fixture(scope="module")
def found(features):
    return probe.fit_probe(features, LABELS, 3)


def test_the_block_that_tells_the_classes_is_found(features, found):
    held_out = features + 0.01
    noise, telling, far = found.accuracy(held_out, LABELS)
    assert noise < 0.75 and telling == 1 and far == 1
    assert found.best == 1, "block 2 is as good, and later"
    assert found.searched[1] == found.searched[2] == 1 > found.searched[0]
    assert set(found.learning_rates.tolist()) <= {np.float32(r) for r in probe.LEARNING_RATES}


def test_the_same_seed_gives_the_same_layers(features, found):
    again, other = (probe.fit_probe(features, LABELS, 3, seed) for seed in (0, 1))
    np.testing.assert_array_equal(again.weights, found.weights)
    np.testing.assert_array_equal(again.searched, found.searched)
    assert not np.array_equal(other.searched, found.searched)


def test_one_picture_is_not_enough(features):
    with pytest.raises(UserError, match="two pictures at least"):
        probe.fit_probe(features[:1], LABELS[:1], 3)


def test_a_classifier_gives_probabilities_of_the_features_as_they_are(features, found):
    block = found.best
    classifier = probe.Classifier(
        lambda images: features, block, found.weights[block], found.biases[block], ("a", "b", "c")
    )
    chances = classifier(np.zeros((60, 8, 8, 3), np.uint8))
    np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(chances.argmax(axis=1), LABELS)
    of_pixels = dataclasses.replace(classifier, read=probe.pixels, block=0)
    with pytest.raises(UserError, match="reads 4 numbers of a picture, and of one of 8 x 8 px"):
        of_pixels(np.zeros((1, 8, 8, 3), np.uint8))


def test_pixels_are_boxes_that_divide_the_sides():
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 20, 3), dtype=np.uint8)
    found = probe.pixels(images)
    assert found.shape == (2, 1, 4 * 4 * 3)
    np.testing.assert_allclose(found[0, 0, :3], images[0, :4, :5].mean((0, 1)) / 255, rtol=1e-5)


def test_chance_is_the_most_frequent_class():
    assert probe.chance(np.array([0, 1, 1, 2]), np.array([1, 1, 0, 2, 2])) == 0.4


def table(found, features):
    """A network of three blocks, and pixels that know less."""
    measured = probe_files.Measured(found, found.accuracy(features, LABELS))
    worse = probe.Probe(
        found.weights[:1], found.biases[:1], found.learning_rates[:1], found.searched[:1]
    )
    return {"decoder": measured, "pixels": probe_files.Measured(worse, np.array([0.5]))}


def test_what_was_saved_classifies_again(features, found, tmp_path):
    folder = path(tmp_path)
    facts = {"checkpoint": "runs/vim", "step": 7, "classes": ["a", "b", "c"]}
    probe_files.save(folder, table(found, features), facts)
    asked = []

    def reader(*run):
        asked.append(run)
        return lambda images: features

    classifier = probe_files.load(folder, reader)
    assert asked == [("runs/vim", 7, "decoder")] and classifier.classes == ("a", "b", "c")
    chances = classifier(np.zeros((60, 8, 8, 3), np.uint8))
    np.testing.assert_array_equal(chances.argmax(axis=1), LABELS)
    saved = json.loads((tmp_path / "probe.json").read_text())
    assert saved["networks"]["pixels"]["accuracy"] == [0.5]

    saved["classes"] = ["a", "b"]
    (tmp_path / "probe.json").write_text(json.dumps(saved))
    with pytest.raises(UserError, match="its weights are not of as many classes"):
        probe_files.load(folder, reader)
    (tmp_path / "probe.npz").write_bytes(b"no archive")
    with pytest.raises(UserError, match="is damaged"):
        probe_files.load(folder, reader)
    with pytest.raises(UserError, match="make one with `babeldraw probe"):
        probe_files.load(folder / "none", reader)


def test_the_table_the_sentence_and_the_plot(features, found, tmp_path):
    shown = table(found, features)
    lines = probe_files.rows(shown, 1 / 3).splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["100.0%", "100.0%", "50.0%", "33.3%"]
    assert "decoder, block 2 of 3" in lines[1] and "chance" in lines[-1]
    said = probe_files.middle_and_last(shown)
    assert "the blocks before the last, 2 of 3 was best" in said
    assert "it has 100.0%, as much as the last (100.0%)" in said
    probe_files.draw_plot(tmp_path / "probe.png", shown, 1 / 3, "role")
    with Image.open(tmp_path / "probe.png") as picture:
        assert picture.size == (840, 480)
