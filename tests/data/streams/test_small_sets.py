"""Contract: a set smaller than a batch is trained on and evaluated all the same."""

import types

import numpy as np
import pytest

from babeldraw.data import vocabulary
from babeldraw.data.streams import pipeline
from babeldraw.errors import UserError
from babeldraw.training.watching.looked import FixedBatches
from tests.data import made_pictures

LENGTHS = {"text": 8, "image": 8}


@pytest.fixture
def name(tmp_path, monkeypatch):
    monkeypatch.setenv("BABELDRAW_VOCABULARY", str(vocabulary.EMOJI_VOCABULARY))
    return made_pictures.write("folder", tmp_path / "set", *made_pictures.good_set(10))


def looked_at(dataset):
    alone = types.SimpleNamespace(share=types.SimpleNamespace(index=0, count=1))
    return FixedBatches(dataset, 4, alone).on_host


def test_trained_on(name):
    batches = pipeline.Dataset(name, LENGTHS, batch_size=20).batches()
    seen = made_pictures.colours(next(batches)["image"])
    assert sorted(set(seen)) == sorted(set(made_pictures.colours(next(batches)["image"])))
    assert len(seen) == 20 and len(set(seen)) == 8


def test_evaluated(name, capsys):
    dataset = pipeline.Dataset(name, LENGTHS, "validation", batch_size=5, shuffle=False)
    (batch,) = looked_at(dataset)
    seen = made_pictures.colours(batch["image"])
    assert len(seen) == 5 and seen[:2] * 2 == seen[:4] and len(set(seen)) == 2
    assert "has less than one batch: some of it counts twice" in capsys.readouterr().out
    whole = looked_at(pipeline.Dataset(name, LENGTHS, batch_size=3, shuffle=False))
    assert len(whole) == 2 and len(np.concatenate([one["image"] for one in whole])) == 6
    assert not capsys.readouterr().out


def test_nothing_to_evaluate(tmp_path, monkeypatch):
    monkeypatch.setenv("BABELDRAW_VOCABULARY", str(vocabulary.EMOJI_VOCABULARY))
    alone = made_pictures.write("folder", tmp_path / "one", *made_pictures.good_set(1))
    with pytest.raises(UserError, match="has no picture that can be read in the split validation"):
        looked_at(pipeline.Dataset(alone, LENGTHS, "validation", batch_size=5))
