"""Batches: shapes, order, resuming, hosts, and what goes wrong."""

import itertools

import numpy as np
import pytest

from babeldraw.data.sets import emoji
from babeldraw.data.streams import pipeline
from babeldraw.errors import UserError

LENGTHS = {"text": 20, "image": 32}


def dataset(split="train", name="emoji_quickstart_32", **kwargs):
    return pipeline.Dataset(name, LENGTHS, split, **kwargs)


def take(iterator, count):
    return list(itertools.islice(iterator, count))


def assert_equal(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


@pytest.fixture(params=["memory", "stream"])
def mode(request, monkeypatch):
    """Small sets come from memory; large ones stream. Both keep the same promises."""
    if request.param == "stream":
        monkeypatch.setattr(pipeline, "IN_MEMORY_BYTES", 0)
    return request.param


def rows_of(batches):
    return [(t.tobytes(), i.tobytes()) for b in batches for t, i in zip(*b.values(), strict=True)]


def test_shapes_and_types(mode):
    batch = next(dataset(batch_size=6).batches())
    assert batch["text_tokens"].shape == (6, 20) and batch["text_tokens"].dtype == np.int32
    assert batch["image"].shape == (6, 32, 32, 3) and batch["image"].dtype == np.uint8
    assert (batch["text_tokens"] == 1).sum(1).tolist() == [1] * 6


def test_seed_decides_the_order(mode):
    assert_equal(take(dataset(seed=1).batches(), 3), take(dataset(seed=1).batches(), 3))
    first, second = (next(dataset(seed=seed).batches()) for seed in (1, 2))
    assert (first["image"] != second["image"]).any()


@pytest.mark.parametrize("start", [1, 140])  # 140 batches of 8 are more than one epoch
def test_resumed_is_unbroken(mode, start):
    whole = take(dataset(seed=3).batches(), start + 2)
    assert_equal(take(dataset(seed=3).batches(start_step=start), 2), whole[start:])


def test_an_epoch_has_every_example_once(mode):
    split = dataset("heldout_people", batch_size=8)
    batches = list(split.batches(num_epochs=1))
    assert len(batches) == 72 // 8
    examples = split.examples()
    keys = [t.tobytes() for t in examples["text_tokens"]]
    assert sorted(key for key, _ in rows_of(batches)) == sorted(keys)


def test_unshuffled_is_in_order(mode):
    split = dataset("heldout_people", shuffle=False)
    examples = split.examples(limit=16)
    for index, batch in enumerate(take(split.batches(), 2)):
        rows = slice(8 * index, 8 * index + 8)
        np.testing.assert_array_equal(batch["image"], examples["image"][rows])


@pytest.mark.parametrize("hosts", [2, 4])
def test_hosts_share_the_split(mode, hosts):
    split = dataset("heldout_people", batch_size=8)
    shares = []
    for host in range(hosts):
        batches = list(split.batches(process_index=host, process_count=hosts, num_epochs=1))
        assert batches[0]["image"].shape[0] == 8 // hosts
        shares.append({row for row, _ in rows_of(batches)})
    assert sum(len(share) for share in shares) == len(set.union(*shares)) == 72


def test_examples_describe_themselves():
    examples = dataset("heldout_people").examples()
    assert len(examples["image"]) == 12 * 2 * 3
    assert set(examples["role"]) == set(emoji.QUICKSTART_ROLES)
    assert set(examples["gender"]) == {1, 2} and set(examples["tone"]) == set(range(6))
    assert set(examples["style"]) == {"noto", "fluent", "twemoji"}
    for caption, style in zip(examples["caption"], examples["style"], strict=True):
        assert caption.endswith(f"{style} style")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "emoji_quikstart_32"}, "did you mean emoji_quickstart_32"),
        ({"name": "zzz"}, "Known are coco_captions_256, coco_captions_512, emoji_128"),
        ({"split": "valid"}, "has no split 'valid': choose one of train, heldout_people"),
    ],
)
def test_unknown_names(settings, message):
    with pytest.raises(UserError, match=message):
        dataset(**settings).batches()


@pytest.mark.parametrize("side", [16, 64])
def test_wrong_size(side):
    wrong = pipeline.Dataset("emoji_quickstart_32", {"text": 20, "image": side})
    with pytest.raises(UserError, match=f"{side} px, but this task has 32 x 32 px"):
        wrong.batches()


def test_wrong_lengths_and_batch():
    with pytest.raises(UserError, match="exactly 'text'"):
        pipeline.Dataset("emoji_32", {"inputs": 20}).batches()
    with pytest.raises(UserError, match="multiple of 3"):
        dataset(batch_size=8).batches(process_count=3)


def test_unbuilt_size(tmp_path, monkeypatch):
    monkeypatch.setenv("BABELDRAW_CACHE_DIR", str(tmp_path))
    with pytest.raises(UserError, match="babeldraw data build emoji --size 64"):
        pipeline.Dataset("emoji_64", {"text": 20, "image": 64}).batches()
