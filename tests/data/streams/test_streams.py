"""Contract: batch k of one's own pictures is a function of k, on any number of hosts."""

import itertools
import subprocess
import sys

import numpy as np
import pytest

from babeldraw.data import tasks, vocabulary
from babeldraw.data.sources import picture_source
from babeldraw.data.streams import loading, pipeline
from tests.data import made_pictures

LENGTHS = {"text": 8, "image": 16}


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("BABELDRAW_VOCABULARY", str(vocabulary.EMOJI_VOCABULARY))
    monkeypatch.setenv("BABELDRAW_CACHE_DIR", str(tmp_path / "cache"))


def write(kind, folder, count=40, broken=()):
    good, captions = made_pictures.good_set(count, 30, 20)
    for index in broken:
        good[f"p{index:03d}.png"] = b"broken"
    return made_pictures.write(kind, folder / kind, good, captions)


def batches(name, steps, split="train", **where):
    dataset = pipeline.Dataset(name, LENGTHS, split, batch_size=8, seed=5)
    return list(itertools.islice(dataset.batches(**where), steps))


def assert_same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


@pytest.fixture(params=[*made_pictures.KINDS, "mixture"])
def name(request, tmp_path):
    if request.param == "mixture":
        parts = write("folder", tmp_path), write("webdataset", tmp_path, 30)
        return f"{parts[0]}:0.7+{parts[1]}:0.3"
    return write(request.param, tmp_path, broken=[3, 11, 12])


def test_hosts_together_make_the_batches_of_one(name):
    whole = batches(name, 9, start_step=2)  # more than an epoch
    for count in (2, 4):
        hosts = [
            batches(name, 9, start_step=2, process_index=i, process_count=count)
            for i in range(count)
        ]
        joined = [
            {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
            for parts in zip(*hosts, strict=True)
        ]
        assert_same(joined, whole)


def test_a_stream_begun_at_a_step_is_the_tail_of_the_whole(name):
    whole = batches(name, 12)
    for start in (1, 7):
        assert_same(batches(name, 12 - start, start_step=start), whole[start:])


def test_no_example_is_lost_or_repeated_when_the_number_of_hosts_changes(tmp_path):
    name = write("folder", tmp_path, 60)  # 48 to train on: 6 batches
    assert tasks.find_task(name, "train").num_input_examples("train") == 48
    seen = []
    for start, hosts in ((0, 1), (2, 4), (3, 2)):
        steps = {0: 2, 2: 1, 3: 3}[start]
        for host in range(hosts):
            where = {"start_step": start, "process_index": host, "process_count": hosts}
            for batch in batches(name, steps, **where):
                seen += made_pictures.colours(batch["image"])
    assert len(seen) == len({*seen}) == 48


def test_another_example_stands_for_a_broken_one(tmp_path):
    good = batches(write("folder", tmp_path / "good"), 8)
    task = write("folder", tmp_path / "bad", broken=range(0, 40, 4))
    found = batches(task, 8)
    skipped = tasks.find_task(task, "train").source.skipped.kinds["not an image"]
    moved = 0
    for before, after in zip(good, found, strict=True):
        pairs = zip(
            made_pictures.colours(before["image"]),
            made_pictures.colours(after["image"]),
            strict=True,
        )
        for first, second in pairs:
            moved += first != second
            assert (first != second) == (f"p{first:03d}.png" in skipped)
    assert moved and len(skipped) >= 6


@pytest.mark.parametrize("start_step", [0, 300_000])
def test_a_late_step_reads_no_more_pictures_than_an_early_one(start_step, tmp_path, monkeypatch):
    name, read = write("folder", tmp_path), []
    of_number = picture_source.PictureSource.read
    monkeypatch.setattr(
        picture_source.PictureSource,
        "read",
        lambda self, split, index, *needed: (
            read.append(index) or of_number(self, split, index, *needed)
        ),
    )
    batches(name, 2, start_step=start_step)
    assert 16 <= len(read) <= 16 + 2 * (loading.THREADS + 8)  # some are read ahead


SCRIPT = """
import itertools, sys
from babeldraw.data.streams import pipeline
dataset = pipeline.Dataset(sys.argv[1], {"text": 8, "image": 16}, batch_size=8)
for _ in range(40):
    source = dataset.batches()
    kept = list(itertools.islice(source, 3))
    if _ % 2: del source
print("done")
"""


def test_a_script_that_reads_three_batches_ends(tmp_path):
    name = write("folder", tmp_path)
    for _ in range(2):  # forty streams each, of which half are still alive
        ended = subprocess.run(
            [sys.executable, "-c", SCRIPT, name], timeout=120, capture_output=True, text=True
        )
        assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr
