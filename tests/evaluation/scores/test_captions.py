"""Captions of a tiny CoCa against texts: the package's numbers, of the words that we split."""

import json

import numpy as np
import pytest

from babeldraw.data.picture_files.framing import frame
from babeldraw.errors import UserError
from babeldraw.evaluation.scores.base import Pictures
from babeldraw.evaluation.scores.captions import CaptionBack, words
from babeldraw.evaluation.scores.coca import CocaEmbedder
from babeldraw.evaluation.scores.text_match import TextMatch
from babeldraw.sampling.rerank import Reranker
from tests.models import tiny, tiny_coca

MODEL = tiny_coca.coca()
RERANKER = Reranker(MODEL, tiny_coca.random_params(MODEL), batch_size=4)
RUN = {"checkpoint": "runs/coca", "step": 7}
WORDS = ["a", "the", "dog", "cat", "man", "woman", "red", "blue", "sits", "on"]


class Vocabulary:
    """Token 2 is the first word, and so on, round and round."""

    def encode(self, text):
        return [2 + WORDS.index(word) for word in text.split()][:3]

    def decode(self, tokens):
        return " ".join(WORDS[token % len(WORDS)] for token in tokens)


@pytest.fixture(scope="module")
def pictures():
    return Pictures(tiny.images(12, tiny_coca.SIZE, seed=8))


def test_words_are_those_of_the_java_program():
    """As `PTBTokenizer` of pycocoevalcap 1.2 splits these; brackets alone it keeps as -lrb-."""
    expected = {
        "It's a dog; don't feed the man's cat!": "it 's a dog do n't feed the man 's cat",
        "A well-known 20-year-old judge's hat - red": "a well-known 20-year-old judge 's hat red",
        "children's \"toys\" can't, I'll I'm he'd": "children 's toys ca n't i 'll i 'm he 'd",
        "red/blue car, 1,000 people at 10:30": "red/blue car 1,000 people at 10:30",
        "a café (red), -- at the beach?": "a café red at the beach",
    }
    for text, split in expected.items():
        assert " ".join(words(text)) == split


def test_right_captions_are_better_than_wrong_ones(pictures):
    pytest.importorskip("pycocoevalcap", reason="pycocoevalcap is not installed: extra `captions`")
    score = CaptionBack(RERANKER, Vocabulary(), RUN)
    captions = score.captions(pictures)
    assert len(set(captions)) > 1
    right = score.of(pictures, captions, None)
    assert right["bleu4"].value == pytest.approx(1, abs=1e-6)
    assert right["cider"].per_picture.shape == (12,)
    others = ["the red dog sits on the blue man", *captions[1:]]
    wrong = score.of(pictures, others, None)
    for name in ("bleu4", "cider"):
        assert wrong[name].value < right[name].value
        low, high = wrong[name].interval
        assert low <= wrong[name].value <= high
    assert json.loads(json.dumps(score.settings))["captioner"] == RUN
    with pytest.raises(UserError, match="12 pictures and 1 texts"):
        score.of(pictures, ["a"], None)


def test_without_the_package_one_sentence_names_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pycocoevalcap.bleu.bleu", None)
    with pytest.raises(UserError, match=r"babeldraw\[captions\]"):
        CaptionBack(RERANKER, Vocabulary(), RUN)


def test_a_coca_run_matches_texts(pictures):
    embedder = CocaEmbedder(RERANKER, Vocabulary(), RUN)
    texts = [WORDS[index % 10] for index in range(12)]
    found = TextMatch(embedder).of(pictures, texts, None)
    cosines = RERANKER.embed_images(np.stack(list(pictures))) * embedder.embed_texts(texts)
    np.testing.assert_allclose(found["cosine"].per_picture, cosines.sum(axis=1), atol=1e-6)
    assert TextMatch(embedder).name == "text match, CoCa runs/coca"
    assert embedder.settings["step"] == 7


def test_pictures_of_another_size_are_framed():
    embedder = CocaEmbedder(RERANKER, Vocabulary(), RUN)
    large = tiny.images(2, (30, 40))
    expected = RERANKER.embed_images(np.stack([frame(image, tiny_coca.SIZE) for image in large]))
    np.testing.assert_array_equal(embedder.embed_images(large), expected)
