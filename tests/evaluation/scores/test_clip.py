"""CLIP reads texts and pictures as published, and embeds them as transformers and open_clip do."""

import gzip
import json
import shutil

import numpy as np
import pytest
import safetensors.numpy

from babeldraw.errors import UserError
from babeldraw.evaluation.scores.base import Pictures
from babeldraw.evaluation.scores.clip import open_clip_folder, preprocess
from babeldraw.evaluation.scores.clip_text import ClipTokenizer, split_words
from babeldraw.evaluation.scores.text_match import TextMatch
from babeldraw.weights.clip import read_clip
from benchmarks import made_clip
from benchmarks.made_inputs import TEXTS, inputs
from tests.evaluation.scores.recorded import RECORDED

RECORD = RECORDED["clip"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("clip")
    made_clip.write(root)
    return root


@pytest.fixture
def pictures():
    made = inputs()
    return [*made["pictures"], *made["wide"], made["wide"][0].swapaxes(0, 1)]


def test_pictures_are_prepared_as_by_torchvision(pictures):
    seen = np.stack([preprocess(picture, made_clip.SIDE) for picture in pictures])
    np.testing.assert_allclose(seen[:, ::5, ::5], np.array(RECORD["pixels"]), atol=1e-5)


@pytest.mark.parametrize("layout", ["transformers", "open_clip"])
def test_embeddings_are_those_of_the_other_package(folder, pictures, layout):
    embedder = open_clip_folder(folder / layout, batch_size=8)
    assert embedder.settings["activation"] == {"transformers": "quick_gelu"}.get(layout, "gelu")
    of_images = np.concatenate([embedder.embed_images(picture[None]) for picture in pictures])
    of_texts = embedder.embed_texts(TEXTS)
    expected = map(np.array, RECORD[layout])
    for found, recorded in zip((of_images, of_texts), expected, strict=True):
        np.testing.assert_allclose(found, recorded, atol=2e-5)
        assert np.std(found, axis=0).min() > 1e-3  # no two alike


def test_token_numbers_are_open_clips(folder):
    tokenizer = ClipTokenizer(folder / "open_clip" / "merges.txt")
    assert len(tokenizer) == made_clip.VOCABULARY
    assert tokenizer(TEXTS, made_clip.LENGTH).tolist() == RECORD["tokens"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("it's we'll ''s", ["it", "'s", "we", "'ll", "''", "s"]),
        ("a1\u00b2\u2163b 42", ["a", "1", "\u00b2", "\u2163", "b", "4", "2"]),
        ("\u732b\u732b!! <|a_", ["\u732b\u732b", "!!", "<|", "a", "_"]),
        ("e\u0301\u00a0\u200d\U0001f600", ["e", "\u0301", "\u200d\U0001f600"]),
        (" \t\n", []),
    ],
)
def test_words_are_split_by_the_published_pattern(text, words):
    assert split_words(text) == words


def test_packed_merges_are_the_same(folder, tmp_path):
    merges = (folder / "open_clip" / "merges.txt").read_bytes()
    packed = tmp_path / "bpe_simple_vocab_16e6.txt.gz"
    packed.write_bytes(gzip.compress(merges))
    expected = [row[:8] for row in RECORD["tokens"]]
    for row in expected:  # a longer text is cut, and ends with the end token
        row[-1] = row[-1] and made_clip.VOCABULARY - 1
    assert ClipTokenizer(packed)(TEXTS, 8).tolist() == expected
    for data in (b"no gzip", gzip.compress(b"version\na b c\n"), gzip.compress(merges)[:-20]):
        packed.write_bytes(data)
        with pytest.raises(UserError, match="merges"):
            ClipTokenizer(packed)


def test_a_score_of_pictures_and_texts(folder):
    score = TextMatch(open_clip_folder(folder / "transformers"))
    found = score.of(Pictures(inputs()["pictures"]), TEXTS[:3], None)
    assert score.name == "text match, CLIP transformers"
    assert len(json.loads(json.dumps(score.settings))["weights_sha256"]) == 64
    of_images, of_texts = (np.array(part) for part in RECORD["transformers"])
    np.testing.assert_allclose(
        found["cosine"].per_picture, (of_images[:3] * of_texts[:3]).sum(axis=1), atol=1e-5
    )


def broken(folder, tmp_path, change):
    copy = tmp_path / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    change(copy)
    with pytest.raises(UserError) as caught:
        open_clip_folder(copy)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_missing_or_of_another_network_is_one_sentence(folder, tmp_path):
    source = folder / "transformers"

    def without(name):
        return broken(source, tmp_path, lambda copy: (copy / name).unlink())

    def with_tensors(change):
        state = dict(made_clip.states()["transformers"])
        change(state)
        save = safetensors.numpy.save_file
        return broken(source, tmp_path, lambda copy: save(state, copy / "model.safetensors"))

    def with_settings(text):
        return broken(source, tmp_path, lambda copy: (copy / "config.json").write_text(text))

    assert "no weights of CLIP" in without("model.safetensors")
    assert "no merges" in without("merges.txt")
    assert "which activation" in without("config.json")
    assert "no JSON" in with_settings("{")
    assert "holds no settings" in with_settings("[]")
    assert "not one of" in with_settings('{"text_config": {"hidden_act": "relu"}}')
    embedding = "vision_model.embeddings.class_embedding"
    assert "neither transformers' nor open_clip's" in with_tensors(
        lambda state: state.pop(embedding)
    )
    projection = "text_projection.weight"
    assert f"no tensor {projection}" in with_tensors(lambda state: state.pop(projection))
    tokens = "text_model.embeddings.token_embedding.weight"
    shorter = with_tensors(lambda state: state.update({tokens: state[tokens][:-1]}))
    assert "belong to the weights" in shorter
    layer = "vision_model.encoder.layers.1.mlp.fc1.weight"
    assert "differ in shape" in with_tensors(lambda state: state.update({layer: state[layer][:5]}))
    with pytest.raises(UserError, match="not a folder"):
        read_clip(source / "model.safetensors")
