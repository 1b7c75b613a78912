"""Contract: the scores of classes say whether what was asked for is drawn, and how varied it is."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from babeldraw.evaluation import quickstart_classes, quickstart_classes_page
from tests.evaluation.test_quickstart import CODES, SECONDS, SIDE, Codec

NAMES = ("ant", "bee", "cow")
EACH = 8


def split(count, seed):
    """Noise; picture i is of class i modulo 3."""
    rng = np.random.default_rng(seed)
    return {
        "image": rng.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8),
        "class_id": np.arange(count, dtype=np.int32) % 3,
    }


class Model:
    """Knows the tokens where it is told the class, and nothing else."""

    def apply(self, variables, tokens, classes):
        told = (classes >= 0).astype(jnp.float32)[:, None, None]
        return 50.0 * told * jax.nn.one_hot(tokens, CODES)


class Sampler:
    """Draws training pictures: `shift` classes further than asked, so many different ones."""

    model = Model()

    def __init__(self, train, shift=0, different=EACH):
        self.params = {"weights": np.zeros(11)}
        self.train, self.shift, self.different = train, shift, different

    def __call__(self, classes, num_samples, seed):
        own = [
            self.train["image"][self.train["class_id"] == (number + self.shift) % 3]
            for number in classes
        ]
        return np.stack([each[np.arange(num_samples) % self.different] for each in own])


@pytest.fixture
def splits(monkeypatch):
    monkeypatch.setattr(quickstart_classes, "DRAWN", 3 * EACH)
    return split(3 * EACH, 0), split(6, 1)


def scored(splits, **settings):
    sampler = Sampler(splits[0], **settings)
    return quickstart_classes.evaluate(Codec(*splits), sampler, *splits, NAMES, seed=0)


def test_a_perfect_model_is_scored_so(splits):
    found = quickstart_classes.summary(scored(splits), SECONDS)
    assert found["classes"]["right"] == 1.0 and found["classes"]["drawn"] == 24
    assert found["classes"]["distinct_nearest"] == 24
    # Of 8 pictures, 8 draws with replacement find 8 (1 - (7/8)^8) on average.
    assert found["classes"]["distinct_of_real"] == pytest.approx(
        3 * 8 * (1 - (7 / 8) ** 8), abs=0.1
    )
    assert found["classes"]["chance"] == pytest.approx(1 / 3, abs=1e-4)
    losses = found["image_tokens"]
    assert losses["loss"] == losses["heldout_loss"] == pytest.approx(0, abs=1e-4)
    assert losses["class_gap"] == pytest.approx(np.log(CODES), abs=1e-4)
    assert found["parameters"] == {"tokenizer": 7, "image_tokens": 11}


def test_other_classes_and_few_pictures_are_seen(splits):
    found = quickstart_classes.summary(scored(splits, shift=1, different=2), SECONDS)
    assert found["classes"]["right"] == 0.0 and found["classes"]["distinct_nearest"] == 6
    assert found["classes"]["right_by_class"] == dict.fromkeys(NAMES, 0.0)
    said = " ".join(quickstart_classes_page.sentences(found))
    assert "in 0% of 24 drawings" in said and "by chance it would be in 33%" in said
    assert "6 different training pictures" in said
    assert "To a perfect model 3 classes are worth 0.183." in said  # ln 3 over 6 tokens


def test_held_out_pictures_are_judged_likewise(splits):
    train, heldout = splits
    heldout["image"][:3] = train["image"][:3]  # of the same classes
    heldout["image"][3:] = train["image"][[4, 5, 3]]  # of others
    assert scored(splits).real_right == 0.5


def test_many_classes_are_drawn_at_even_distances(splits, monkeypatch):
    monkeypatch.setattr(quickstart_classes, "MOST_CLASSES", 2)
    assert [one.name for one in scored(splits).drawn] == ["ant", "cow"]


def test_the_sheet_says_what_draws_it_again(splits, tmp_path):
    found = scored(splits)
    quickstart_classes_page.write_samples(tmp_path / "samples.png", found.drawn, seed=5)
    with Image.open(tmp_path / "samples.png") as sheet:
        assert json.loads(sheet.text["classes"]) == list(NAMES) and sheet.text["seed"] == "5"
        assert json.loads(sheet.text["settings"])["cutoff"] == 0.1
