"""What people type for an emoji: captions of a cell, the shipped words, and the task with both."""

import collections

import numpy as np
import pytest

from babeldraw.data import tasks
from babeldraw.data.sets import emoji_sheets, emoji_words
from babeldraw.data.sets.emoji_grid import STYLES, Cell
from babeldraw.data.streams.pipeline import Dataset
from babeldraw.data.vocabulary import EMOJI_WORDS_VOCABULARY, UNK_ID, load_vocabulary

TEXT_LENGTH = 24


def cell(caption, group="food-drink", role="", gender=-1, tone=0):
    return Cell("noto", "1f34e", "", caption, role, 0 if role else -1, gender, tone, group, "train")


@pytest.fixture(scope="module")
def said():
    words, alone = emoji_words.read_words(), emoji_words.telling()
    cells = emoji_sheets.read_cells(emoji_sheets.SHIPPED)
    return {
        cell: emoji_words.captions(cell, words[emoji_words.without_tones(cell.concept)], alone)
        for cell in cells
    }


def test_captions_of_a_thing():
    found = emoji_words.captions(
        cell("red apple, noto style"), ("fruit", "pomme", "apple"), frozenset({"pomme"})
    )
    assert found[0] == "red apple, noto style"
    assert {"a red apple in noto style", "red apple", "noto red apple", "pomme", "apple"} < {*found}
    assert "red apple, fruit" in found and "fruit" not in found  # others have that tag, too
    named = sum("noto" in text for text in found)
    assert 2 * named == len(found)


def test_captions_of_a_person():
    toned = cell("woman artist, dark skin tone, noto style", "people-body", "artist", 2, 5)
    found = emoji_words.captions(toned, ("palette",), frozenset({"palette"}))
    assert "a woman artist with dark skin in noto style" in found
    assert all("dark" in text for text in found)  # none leaves the skin tone out
    yellow = cell("woman artist, yellow skin tone, noto style", "people-body", "artist", 2, 0)
    bare = emoji_words.captions(yellow, ("palette",), frozenset({"palette"}))
    assert "a woman artist" in bare and "palette" not in bare  # men have that tag, too


def test_each_cell_has_its_caption_first_and_half_name_its_style(said):
    assert len(said) == 9417
    for of, found in said.items():
        assert found[0] == of.caption
        others = [style for style in STYLES if style != of.style]
        assert not any(f"{style} style" in text for style in others for text in found)
        assert 0.45 < sum(of.style in text for text in found) / len(found) < 0.6


def test_no_caption_of_training_is_a_held_out_persons(said):
    seen = {text for of, found in said.items() if of.split == "train" for text in found}
    for of, found in said.items():
        if of.split == "heldout_people":
            assert not seen & {*found}, of.caption


def test_a_tag_alone_says_few_concepts(said):
    concepts = collections.defaultdict(set)
    for of, found in said.items():
        for text in found:
            if text in emoji_words.telling():
                concepts[text].add(emoji_words.without_tones(of.concept))
    labels = {of.caption.removesuffix(f", {of.style} style") for of in said}
    assert len(concepts) > 1000
    assert all(len(c) <= emoji_words.TELLING + 1 for t, c in concepts.items() if t not in labels)


def test_the_vocabulary_spells_every_caption_within_the_length(said):
    vocabulary = load_vocabulary(EMOJI_WORDS_VOCABULARY)
    captions = sorted({text for found in said.values() for text in found})
    ids = vocabulary.tokenizer.encode(captions)
    assert not any(UNK_ID in row for row in ids)
    assert sum(len(row) < TEXT_LENGTH for row in ids) / len(ids) > 0.999


def test_training_draws_captions_by_position_and_evaluation_takes_the_first():
    dataset = Dataset("emoji_words_32", {"text": TEXT_LENGTH, "image": 32}, "train", 8)
    first, again = (next(dataset.batches()) for _ in range(2))
    np.testing.assert_array_equal(first["text_tokens"], again["text_tokens"])
    cells = emoji_sheets.read_cells(emoji_sheets.SHIPPED)
    pictures = emoji_sheets.read_images(emoji_sheets.SHIPPED, 32, cells)
    whole = {
        image.tobytes() for of, image in zip(cells, pictures, strict=True) if of.split == "train"
    }
    assert all(image.tobytes() in whole for image in first["image"])  # nothing is cut off
    source = tasks.find_task("emoji_words_32", "heldout_people").source
    example = source.read("heldout_people", 3)
    assert example["name"].decode().split("/")[0] in STYLES and not example["augment"]
    texts = [text.decode() for text in example["captions"]["text"]]
    assert texts[0].endswith(" style") and len({*texts}) > 5
    plain = tasks.find_task("emoji_32", "heldout_people").source.read("heldout_people", 3)
    np.testing.assert_array_equal(example["image"], plain["image"])
    assert plain["caption"].decode() == texts[0]
