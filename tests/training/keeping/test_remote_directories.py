"""Contract: what a run writes besides checkpoints, it writes to gs:// too.

A folder stands in for the cloud's file system. What Orbax writes is Orbax's own affair.
"""

import json
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from etils.epath import backend, gpath
from tensorboardX.proto.event_pb2 import Event, SessionLog

from babeldraw.cli import main
from babeldraw.training.watching.curves import write_curves
from babeldraw.training.watching.metrics import JsonLines
from babeldraw.training.watching.pictures import write_grid
from babeldraw.training.watching.profiler import Profiler
from babeldraw.training.watching.trackers import TensorBoard
from tests.evaluation.run_files import noise, write_run, write_sheet


class Bucket(backend._OsPathBackend):
    """Keeps gs://b/x in ROOT/b/x, and refuses paths of any other kind."""

    root: Path

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if name.startswith("_") or not callable(found):
            return found

        def call(*arguments, **more):
            return found(*(self._here(a) if isinstance(a, str) else a for a in arguments), **more)

        return call

    def _here(self, text):
        if not text.startswith("gs://"):
            return text  # a mode, or a pattern
        return str(self.root / text.removeprefix("gs://"))


@pytest.fixture
def bucket(tmp_path):
    """`gs://b`, and where it lies."""
    fake = Bucket()
    fake.root = tmp_path
    (tmp_path / "b").mkdir()
    # What epath takes for gs:// where TensorFlow is installed.
    with mock.patch.object(backend, "tf_backend", fake):
        yield gpath.PosixGPath("gs://b"), tmp_path / "b"


def test_metrics_curves_and_pictures(bucket):
    remote, here = bucket
    write = JsonLines(remote / "metrics.jsonl", 0)
    for step in (1, 2):
        write(step, "train", {"loss": 1.0 / step})
    JsonLines(remote / "metrics.jsonl", 1)(2, "train", {"loss": 0.25})
    records = [json.loads(line) for line in (here / "metrics.jsonl").read_text().splitlines()]
    assert [record["loss"] for record in records] == [1.0, 0.25]
    write_curves(remote / "metrics.jsonl", remote / "curves.png")
    write_grid(remote / "pictures" / "a.png", np.zeros((1, 1, 4, 4, 3), np.uint8))
    assert (here / "curves.png").stat().st_size > 0
    assert (here / "pictures" / "a.png").stat().st_size > 0


def test_a_page_about_a_run_that_is_there(bucket):
    remote, here = bucket
    run = write_run(here / "run", "text_to_image")
    write_sheet(run, "samples", 100, noise(1, 2), ("real", "drawn"), [("eval", "a red bird")])
    assert main.main(["report", str(remote / "run")]) == 0
    page = (run / "report.html").read_text()
    assert "<title>Text to image: run</title>" in page and 'alt="drawn: a red bird"' in page


def read_events(folder):
    (path,) = folder.iterdir()
    return [
        Event.FromString(record)
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    ]


def test_tensorboard_and_traces(bucket):
    remote, here = bucket
    write = TensorBoard(remote / "tensorboard", start_step=4)
    for step in (5, 6):
        write(step, "train", {"loss": 1 / step})
        last = read_events(here / "tensorboard")[-1]
        assert (last.step, last.summary.value[0].tag) == (step, "train/loss")
        assert last.summary.value[0].simple_value == pytest.approx(1 / step)
    start = read_events(here / "tensorboard")[1]
    assert (start.step, start.session_log.status) == (5, SessionLog.START)
    with Profiler("1:1", remote / "profile") as profiler:
        profiler.before(1)
        profiler.after(1, np.zeros(1))
    assert list((here / "profile").rglob("*.xplane.pb"))


def test_a_bucket_is_no_local_folder(bucket, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    remote, _ = bucket
    JsonLines(remote / "metrics.jsonl", 0)(1, "train", {"loss": 1.0})
    TensorBoard(remote / "tensorboard", 0)(1, "train", {"loss": 1.0})
    assert {path.name for path in tmp_path.iterdir()} == {"b"}  # no folder named "gs:"
