"""Contract: a run whose directory is gs:// does all that one on a disk does."""

import json
import re
import signal
import time

import pytest
from PIL import Image

from babeldraw.files import OUTPUT_MARK
from benchmarks import bucket_kills
from tests.going_on.bucket import BUCKET, serving

TOY = """
import sys
from pathlib import PurePosixPath
from tests.going_on.toy_run import Crops, Int8Toy
from babeldraw.training.loop import train
from babeldraw.training.machine import Machine

model_dir, steps, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])

def slowly(step, split, values):
    import time
    time.sleep(seconds)

train(Int8Toy(), model_dir=model_dir, train_dataset=Crops(), eval_dataset=Crops(length=8),
      train_steps=steps, machine=Machine(checkpoint_every=1), log_every=1, eval_every=steps,
      pictures_every=steps, on_metrics=slowly)
"""

COMPARE = """
import sys
import jax, numpy as np
from babeldraw.training.keeping import checkpoints
one, other = (checkpoints.load_params(name) for name in sys.argv[1:])
jax.tree.map(np.testing.assert_array_equal, one, other)
print("the same bits at steps", *(checkpoints.latest_step(name) for name in sys.argv[1:]))
"""


START = """
import sys
from pathlib import Path
import jax, numpy as np
from tests.going_on.toy_run import train_toy
from babeldraw.training.keeping import checkpoints
from babeldraw.training.keeping.init_from import InitFrom

other, folder = sys.argv[1], Path(sys.argv[2])
train_toy(folder, "run", 1, InitFrom(model_dir=other))
began = checkpoints.load_params(str(folder / "run"), 0)
jax.tree.map(np.testing.assert_array_equal, began, checkpoints.load_params(other))
print("began with the same bits")
"""


RECORDS = """
import json, sys
from babeldraw import files
from babeldraw.training.keeping.checkpoints import latest_step
from launch.babysitter import latest_checkpoint

directory = files.path(sys.argv[1])
lines = map(json.loads, (directory / "metrics.jsonl").read_text().splitlines())
print([line["step"] for line in lines if line["split"] == "train"])
(directory / "checkpoints" / "7" / "params" / "_METADATA").write_text("half")
assert latest_step(sys.argv[1]) == latest_checkpoint(sys.argv[1])
print("whole", latest_step(sys.argv[1]), "without 7")
"""


@pytest.fixture(scope="module")
def bucket():
    with serving() as found:
        yield found


def test_killed_and_brought_back_a_run_in_a_bucket_is_one_on_a_disk(bucket, tmp_path):
    remote = f"gs://{BUCKET}/runs/toy"
    process = bucket.start("-c", TOY, remote, 6, 0.3, cwd=tmp_path)
    for _ in range(600):
        if any(re.search(r"checkpoints/2/.*_METADATA", name) for name in bucket.names()):
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    printed = bucket.run("-c", TOY, remote, 6, 0, cwd=tmp_path)
    assert re.search(rf"resumed from step [1-5] of {remote}", printed)
    bucket.run("-c", TOY, tmp_path / "whole", 6, 0)
    said = bucket.run("-c", COMPARE, remote, tmp_path / "whole")
    assert "the same bits at steps 6 6" in said
    # Every record of both lives, and a checkpoint that is not finished does not count.
    said = bucket.run("-c", RECORDS, remote)
    assert "[1, 2, 3, 4, 5, 6]" in said and "whole 6 without 7" in said
    # Everything is there, and nothing on the disk of the machine.
    files = {name.removeprefix("runs/toy/").split("/")[0] for name in bucket.names("runs/toy/")}
    local = {path.name for path in (tmp_path / "whole").iterdir()}
    assert files == local - {"lock"}
    assert {path.name for path in tmp_path.iterdir()} == {"whole"}


@pytest.mark.slow
def test_killed_and_brought_back_on_other_hosts():
    # What it compares with can differ: see test_kill.py.
    arrays, losses = bucket_kills.run(rounds=3, seed=0)
    assert arrays >= 9 and losses >= 5


def test_a_second_run_in_the_same_place_is_refused(bucket, tmp_path):
    remote = f"gs://{BUCKET}/runs/claimed"
    first = bucket.start("-c", TOY, remote, 1000, 0.5, cwd=tmp_path)
    try:
        for _ in range(600):
            if "runs/claimed/lock" in bucket.names():
                break
            time.sleep(0.1)
        printed = bucket.run("-c", TOY, remote, 2, 0, code=1, cwd=tmp_path)
        assert f"{remote} is being written to by process {first.pid} on " in printed
    finally:
        first.send_signal(signal.SIGTERM)
        printed, _ = first.communicate(timeout=60)
    assert "stopped by SIGTERM after step" in printed
    assert "runs/claimed/lock" not in bucket.names()


def test_a_run_starts_from_one_in_a_bucket(bucket, tmp_path):
    other = f"gs://{BUCKET}/runs/start"
    bucket.run("-c", TOY, other, 2, 0, cwd=tmp_path)
    said = bucket.run("-c", START, other, tmp_path, cwd=tmp_path)
    assert f"starts from {other}, step 2:" in said and "began with the same bits" in said
    # A name that is no run's there, either.
    said = bucket.run("-c", START, f"gs://{BUCKET}/runs/none", tmp_path / "b", code=1, cwd=tmp_path)
    assert f"gs://{BUCKET}/runs/none is not a run directory" in said


def babeldraw(bucket, *words, code=0, **settings):
    return bucket.run("-m", "babeldraw.cli.main", *words, code=code, **settings)


@pytest.mark.slow
def test_both_stages_samples_figures_and_tokens_in_a_bucket(bucket, tmp_path, tmp_path_factory):
    runs = f"gs://{BUCKET}/quick"
    for stage in ("tokenizer", "text_to_image"):
        words = [f"--gin_file=gin/runs/quickstart_{stage}.gin", f"--model_dir={runs}/{stage}"]
        if stage == "text_to_image":
            words.append(f"--gin.TOKENIZER_CHECKPOINT={runs}/tokenizer")
        words += ["--gin.TRAIN_STEPS=2", "--gin.WARMUP_STEPS=1"]
        babeldraw(bucket, "train", *words, cwd=tmp_path)
    said = babeldraw(
        *(bucket, "sample", "woman astronaut, medium skin tone, twemoji style"),
        *("--checkpoint", f"{runs}/text_to_image", "--output", f"gs://{BUCKET}/drawn"),
        *("--num_samples=1", "--config=configs/cpu_2x4.py"),  # straight onto eight devices
        cwd=tmp_path,
    )
    assert f"1 pictures and grid.png are in gs://{BUCKET}/drawn" in said
    mark, grid, picture = sorted(bucket.names("drawn/"))
    assert (mark, grid) == (f"drawn/{OUTPUT_MARK}", "drawn/grid.png")
    assert picture.endswith("-00.png")
    babeldraw(
        *(bucket, "evaluate", "--checkpoint", f"{runs}/tokenizer", "--limit", "32"), cwd=tmp_path
    )
    report = bucket.run(
        "-c",
        "import sys; from babeldraw import files; print(files.path(sys.argv[1]).read_text())",
        f"{runs}/tokenizer/evaluation/report.json",
    )
    assert json.loads(report[report.index("{") :])["step"] == 2
    words = ["--checkpoint", f"{runs}/text_to_image", "--suite", "emoji", "--limit", "4"]
    babeldraw(bucket, "evaluate", *words, cwd=tmp_path)
    suite = "quick/text_to_image/suites/emoji"
    drawn = {name.removeprefix(f"{suite}/") for name in bucket.names(f"{suite}/")}
    assert {"report.html", "report.json", "prompts.jsonl"} <= drawn
    assert sum(name.endswith(".png") and "pictures/" in name for name in drawn) == 4, drawn
    pictures = tmp_path_factory.mktemp("pictures")
    for number in range(3):
        Image.new("RGB", (32, 32), (80 * number, 0, 0)).save(pictures / f"{number}.png")
        (pictures / f"{number}.txt").write_text(f"picture {number}")
    said = babeldraw(
        *(bucket, "tokenize-dataset", "--checkpoint", f"{runs}/tokenizer"),
        *(f"--task=folder:{pictures}", f"--output=gs://{BUCKET}/tokens"),
        cwd=tmp_path,
    )
    assert f"gs://{BUCKET}/tokens is whole" in said
    assert "tokens/manifest.json" in bucket.names("tokens/")
    assert list(tmp_path.iterdir()) == []
