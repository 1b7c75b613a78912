"""Contract: what learns no texts takes pictures without captions and asks for no vocabulary."""

import pathlib

import pytest

from babeldraw.data import tasks, vocabulary
from babeldraw.data.streams import pipeline
from babeldraw.errors import UserError
from tests.data import made_pictures

LENGTHS = {"text": 8, "image": 16}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv("BABELDRAW_VOCABULARY", raising=False)
    monkeypatch.setenv("BABELDRAW_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "set"


def without(kind, folder, **settings):
    good, _ = made_pictures.good_set(20)
    name = made_pictures.write(kind, folder, good, {})
    return pipeline.Dataset(name, LENGTHS, batch_size=4, captioned=False, **settings)


@pytest.mark.parametrize("kind", ["sidecar", "webdataset", "array_record"])
def test_batches_of_pictures_alone(kind, folder):
    dataset = without(kind, folder)
    batch = next(dataset.batches())
    assert batch.keys() == {"image"} and batch["image"].shape == (4, 16, 16, 3)
    assert len(dataset.example_ids(0)) == 4 and dataset.fingerprint()["pictures"] == 16
    assert sorted(made_pictures.colours(dataset.examples()["image"])) == sorted(
        int(picture.name[-7:-4] if "." in picture.name[-4:] else picture.name[-3:])
        for picture in tasks.find_task(
            dataset.mixture_or_task_name, "train", captioned=False
        ).source.pictures("train")
    )


def test_texts_still_need_captions(folder, monkeypatch):
    dataset = without("sidecar", folder)
    monkeypatch.setenv("BABELDRAW_VOCABULARY", str(vocabulary.EMOJI_VOCABULARY))
    with pytest.raises(UserError, match="has no picture with a caption"):
        next(pipeline.Dataset(dataset.mixture_or_task_name, LENGTHS).batches())


def test_some_with_captions_and_a_broken_one(folder, monkeypatch):
    good, captions = made_pictures.good_set(20)
    good["p003.png"], captions = b"broken", dict(list(captions.items())[:10])
    name = made_pictures.write("folder", folder, good, captions)
    both = [tasks.find_task(name, "train", captioned=captioned) for captioned in (True, False)]
    counts = [sum(map(task.num_input_examples, task.splits)) for task in both]
    assert counts == [10, 20]
    dataset = pipeline.Dataset(name, LENGTHS, batch_size=4, captioned=False, shuffle=False)
    assert sum(len(batch["image"]) for batch in dataset.batches(num_epochs=1)) >= 12
    monkeypatch.setenv("BABELDRAW_VOCABULARY", str(vocabulary.EMOJI_VOCABULARY))
    assert "text_tokens" in next(pipeline.Dataset(name, LENGTHS, batch_size=4).batches())


def test_a_mixture_without_a_vocabulary(folder):
    names = [without("sidecar", folder / part).mixture_or_task_name for part in "ab"]
    name = f"{names[0]}:0.5+{names[1]}:0.5"
    dataset = pipeline.Dataset(name, LENGTHS, batch_size=4, captioned=False)
    assert next(dataset.batches())["image"].shape == (4, 16, 16, 3)
    with pytest.raises(UserError, match="has no picture with a caption"):
        next(pipeline.Dataset(name, LENGTHS).batches())


def test_recipes_that_learn_no_texts_say_so():
    for recipe in pathlib.Path("gin/runs").glob("*.gin"):
        text = recipe.read_text()
        if "pipeline.Dataset:" in text:
            reads_texts = recipe.stem in ("text_to_image", "coca", "text_encoder_pairs")
            assert ("captioned = False" in text) != reads_texts, recipe
