"""Contract: what a set holds is seen before any training, and what cannot work is one sentence."""

import os

import pytest
from PIL import Image

from babeldraw.cli.support import own_pictures
from babeldraw.data.vocabulary import load_vocabulary
from babeldraw.errors import UserError


@pytest.fixture(autouse=True)
def _no_vocabulary(monkeypatch):
    monkeypatch.setenv("BABELDRAW_VOCABULARY", "")


def write(folder, count, caption, size=(40, 30)):
    """`caption(index)` -> text, or None for no file."""
    folder.mkdir()
    for index in range(count):
        Image.new("RGB", size, (index, 90, 255 - index)).save(folder / f"{index:03d}.png")
        if text := caption(index):
            (folder / f"{index:03d}.txt").write_text(text)
    return f"folder:{folder}"


def test_what_is_seen(tmp_path):
    task = write(tmp_path / "a", 100, lambda index: f"thing {index}" if index % 4 else None)
    seen = own_pictures.look(task)
    assert seen.train + seen.held_out == 100
    assert (seen.eval_split, seen.side) == ("validation", 30)
    assert seen.captioned == len(seen.captions) < seen.train
    said = " ".join(seen.sentences())
    assert f"{seen.train} pictures to train on" in said
    assert f"{seen.train - seen.captioned} pictures have no caption" in said
    assert f"FIT is {seen.advice.fit}" in said


def test_registered_tasks_are_seen_too():
    seen = own_pictures.look("emoji_quickstart_32")
    assert (seen.train, seen.held_out, seen.eval_split) == (360, 72, "heldout_people")
    assert seen.side == 32


def test_mixtures_are_seen_too(tmp_path):
    first = write(tmp_path / "a", 60, lambda index: f"thing {index}")
    second = write(tmp_path / "b", 40, lambda index: f"other {index}")
    seen = own_pictures.look(f"{first}:0.5+{second}:0.5")
    assert seen.train + seen.held_out == 100
    assert len(seen.captions) == seen.captioned == seen.train
    _, _, made = own_pictures.find_vocabulary(seen, tmp_path / "vocabulary.model")
    assert made


def test_without_captions_there_is_nothing_to_draw_from(tmp_path):
    seen = own_pictures.look(write(tmp_path / "a", 60, lambda _: None))
    assert not seen.captions
    assert "the tokenizer alone is trained" in " ".join(seen.sentences())


def test_captions_all_alike(tmp_path):
    with pytest.raises(UserError, match=r"captions of .* are 'a photo', so that a prompt"):
        own_pictures.look(write(tmp_path / "a", 60, lambda _: "a photo"))


def test_too_few_pictures(tmp_path):
    with pytest.raises(UserError, match="too few to learn from: bring at least 50"):
        own_pictures.look(write(tmp_path / "a", 20, str))


def test_the_vocabulary_is_made_as_large_as_the_captions_give(tmp_path):
    task = write(tmp_path / "a", 60, lambda index: f"thing number {index}")
    seen, file = own_pictures.look(task), tmp_path / "vocabulary.model"
    found, pieces, made = own_pictures.find_vocabulary(seen, file)
    assert (found, made) == (file, True)
    assert load_vocabulary(file).vocab_size == pieces < 1000
    assert os.environ["BABELDRAW_VOCABULARY"] == str(file)
    assert own_pictures.text_length(seen.captions, file) == 16
    few_are_long = [*(seen.captions * 4), "word " * 200]
    assert own_pictures.text_length(few_are_long, file) == 16
    assert own_pictures.text_length(["thing number 3 " * 20], file) == 64


def test_the_sets_own_vocabulary_is_taken(tmp_path, monkeypatch):
    monkeypatch.delenv("BABELDRAW_VOCABULARY")
    seen = own_pictures.look("emoji_quickstart_32")
    found, pieces, made = own_pictures.find_vocabulary(seen, tmp_path / "vocabulary.model")
    assert (found.name, pieces, made) == ("vocabulary.model", 2048, False)
    assert not (tmp_path / "vocabulary.model").exists()
