"""Vocabularies: special ids, encoding equal to the pipeline's, training that repeats."""

import numpy as np
import pytest

from babeldraw import pieces
from babeldraw.data import tasks, vocabulary
from babeldraw.data.sets import emoji_sheets
from babeldraw.data.streams import pipeline
from babeldraw.errors import UserError


@pytest.fixture(scope="module")
def emoji():
    return vocabulary.load_vocabulary(vocabulary.EMOJI_VOCABULARY)


def test_special_ids(emoji):
    assert emoji.vocab_size == 2048
    tokens = pieces.encode(["red apple, noto style", ""], emoji, 12)
    assert tokens.shape == (2, 12) and tokens.dtype == np.int32
    length = np.count_nonzero(tokens[0])
    assert tokens[0, length - 1] == 1 and not tokens[0, length:].any()
    assert tokens[1].tolist() == [1] + [0] * 11
    assert emoji.decode(tokens[0, : length - 1].tolist()) == "red apple, noto style"


def test_no_prompt_has_unknown_ids(emoji):
    tokens = pieces.encode(["Ünïcödé ☃ 漢字 \U0001f600"], emoji, 64)
    assert vocabulary.UNK_ID not in tokens


def test_case_is_folded(emoji):
    upper, lower = pieces.encode(["Red APPLE", "red apple"], emoji, 8)
    np.testing.assert_array_equal(upper, lower)


@pytest.mark.parametrize("length", [4, 20])
def test_encode_is_what_the_pipeline_gives(emoji, length):
    dataset = pipeline.Dataset("emoji_people_32", {"text": length, "image": 32}, "heldout_people")
    examples = dataset.examples()
    tokens = pieces.encode(examples["caption"].tolist(), emoji, length)
    np.testing.assert_array_equal(tokens, examples["text_tokens"])
    if length == 20:  # long enough for every caption of the set
        assert not tokens[:, -1].any()


def test_shipped_vocabulary_is_trained_again_byte_for_byte(tmp_path):
    cells = emoji_sheets.read_cells(emoji_sheets.SHIPPED)
    captions = [cell.caption for cell in cells if cell.split == "train"]
    vocabulary.train_vocabulary(reversed(captions), tmp_path / "v.model", 2048)
    assert (tmp_path / "v.model").read_bytes() == vocabulary.EMOJI_VOCABULARY.read_bytes()


def test_a_vocabulary_of_a_subset_repeats(tmp_path):
    captions = [f"a{number} b{number % 7} cat" for number in range(400)]
    paths = [tmp_path / f"{name}.model" for name in ("first", "second", "whole")]
    for path, sample in zip(paths, (40, 40, 400), strict=True):
        vocabulary.train_vocabulary(captions, path, 290, sample=sample)
    first, second, whole = (path.read_bytes() for path in paths)
    assert first == second != whole


def test_task_captions_are_those_of_the_split():
    dataset = pipeline.Dataset("emoji_people_32", {"text": 20, "image": 32}, "heldout_people")
    captions = list(tasks.task_captions("emoji_people_32", "heldout_people"))
    assert captions == dataset.examples()["caption"].tolist()


def test_too_large_a_vocabulary(tmp_path):
    with pytest.raises(UserError, match="99999"):
        vocabulary.train_vocabulary(["red apple"] * 3, tmp_path / "v.model", 99999)


@pytest.mark.parametrize(
    "text",
    [
        "picture " + "lighthouse beside the " * 400,
        "lighthouse " * 400,
        "灯" * 5000 + " lighthouse" * 100,
    ],
)
def test_long_captions_count(tmp_path, text):
    assert len(text.encode()) > vocabulary.MAX_SENTENCE
    vocabulary.train_vocabulary([text] * 3, tmp_path / "v.model", 275, byte_fallback=True)
    tokenizer = vocabulary.load_vocabulary(tmp_path / "v.model").tokenizer
    pieces = tokenizer.encode("lighthouse", out_type=str)
    assert not any(piece.startswith("<0x") for piece in pieces)


def test_parts_of_a_long_caption_have_all_its_words():
    text = " ".join(f"word{index}" for index in range(3000)) + " " + "long" * 2000 + " end"
    parts = [*vocabulary._sentences(text)]
    assert max(len(part.encode()) for part in parts) <= vocabulary.MAX_SENTENCE
    assert "".join(parts).replace(" ", "") == text.replace(" ", "") and all(parts)


def test_a_character_of_sentencepiece_loses_no_caption(tmp_path):
    captions = ["a lighthouse \u2585 at night"] * 3
    vocabulary.train_vocabulary(captions, tmp_path / "v.model", 275)
    tokenizer = vocabulary.load_vocabulary(tmp_path / "v.model").tokenizer
    assert not any(p.startswith("<0x") for p in tokenizer.encode("lighthouse", out_type=str))


def test_no_text_at_all(tmp_path):
    for captions in ([], ["\x01\x02"] * 4):
        with pytest.raises(UserError, match=f"from {len(captions)} captions, as they have no text"):
            vocabulary.train_vocabulary(captions, tmp_path / "v.model", 300)


def test_missing_or_wrong_file(tmp_path):
    with pytest.raises(UserError, match="no vocabulary at"):
        vocabulary.load_vocabulary(tmp_path / "none.model")
    (tmp_path / "text.model").write_text("hello")
    with pytest.raises(UserError, match="not a SentencePiece model"):
        vocabulary.load_vocabulary(tmp_path / "text.model")
