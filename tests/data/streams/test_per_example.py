"""Contract: where nothing is drawn, rows made one by one are those of seqio's preprocessors."""

import numpy as np

from babeldraw.data import tasks, vocabulary
from babeldraw.data.picture_files.framing import frame
from babeldraw.data.streams import pipeline, streamed
from tests.data import made_pictures


def test_random_squares_lie_near_the_centre_and_have_their_scales():
    columns = np.broadcast_to(np.arange(256, dtype=np.uint8)[:, np.newaxis], (128, 256, 3))
    first, last = [], []
    for seed in range(80):
        random = np.random.default_rng(seed)
        square = frame(columns, 64, random=random)
        assert square.shape == (64, 64, 3) and (np.diff(square[0, :, 0].astype(int)) > 0).all()
        first.append(int(square[0, 0, 0]))
        last.append(int(square[0, -1, 0]))
    assert 48 <= min(first) < 56 and 84 < max(first) <= 95  # [3/8, 5/8] of 128, cut by 1/9 at most
    spans = np.subtract(last, first)
    assert max(spans) >= 124 and 110 <= min(spans) < 116


CAPTIONS = [
    "a man",
    "",
    "naïve façade, 猫 and 🐈",
    "word " * 100,
    "  two  spaces ",
    "Æ\u0301\u200d!",
]


def test_captions_become_the_same_tokens(tmp_path, monkeypatch):
    monkeypatch.setenv("BABELDRAW_VOCABULARY", str(vocabulary.EMOJI_VOCABULARY))
    captions = [caption or "x" for caption in CAPTIONS] * 4
    good, _ = made_pictures.good_set(len(captions), 20, 20)
    given = dict(zip(good, ([caption] for caption in captions), strict=True))
    name = made_pictures.write("folder", tmp_path, good, given)
    lengths = {"text": 12, "image": 16}
    dataset = pipeline.Dataset(name, lengths, "validation")
    ours = dataset.examples()
    theirs = streamed.examples(tasks.find_task(name, "train"), lengths, "validation")
    assert len(ours["image"]) > 3
    for key, values in theirs.items():
        np.testing.assert_array_equal(ours[key], values)


def test_emoji_are_the_same_from_their_records():
    dataset = pipeline.Dataset("emoji_quickstart_32", {"text": 20, "image": 32}, "heldout_people")
    ours = dataset.examples()
    provider = tasks.find_task("emoji_quickstart_32", "heldout_people")
    described = ("caption", "gender", "tone")
    theirs = streamed.examples(
        provider, dataset.task_feature_lengths, "heldout_people", described=described
    )
    for key in ("text_tokens", "image", "gender", "tone"):
        np.testing.assert_array_equal(ours[key], theirs[key])
    assert ours["caption"].tolist() == [caption.decode() for caption in theirs["caption"]]
