"""Contract: the shell scripts are clean, and a worker does what it says without a cloud."""

import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from babeldraw.cli.support.paths import repository_root

ROOT = repository_root()
SCRIPTS = sorted((ROOT / "launch").glob("*.sh"))

TRAIN = """\
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("saved"), sys.exit(75)))
print(sys.argv[1:], flush=True)
if "fail" in sys.argv[-1]:
    sys.exit(2)
time.sleep(60)
"""


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck(path):
    subprocess.run([Path(sys.executable).parent / "shellcheck", path], check=True)


def test_what_is_packed_is_the_checkout(tmp_path):
    archive = tmp_path / "new folder" / "a.tar.gz"
    subprocess.run(["bash", "launch/pack.sh", archive], cwd=ROOT, check=True)
    with tarfile.open(archive) as packed:
        names = set(packed.getnames())
    assert {"setup.py", "constraints.txt", "launch/worker.sh", "gin/models/350m.gin"} <= names
    assert not any(name.startswith((".git/", "build/", "runs/", ".venv")) for name in names)


def test_what_git_does_not_track_stays_at_home(tmp_path):
    checkout = tmp_path / "checkout"
    (checkout / "launch").mkdir(parents=True)
    (checkout / "launch/pack.sh").write_text((ROOT / "launch/pack.sh").read_text())
    for name in ("tracked.py", "added.gin", "gone.py", "key.json", ".env"):
        (checkout / name).write_text(name)

    def git(*words):
        settings = ("-c", "user.name=x", "-c", "user.email=x")
        subprocess.run(["git", *settings, *words], cwd=checkout, check=True, capture_output=True)

    git("init")
    git("add", "launch", "tracked.py", "gone.py")
    git("commit", "-m", "x")
    git("add", "added.gin")
    (checkout / "gone.py").unlink()
    (checkout / "tracked.py").write_text("changed")
    archive = tmp_path / "a.tar.gz"
    said = subprocess.run(
        ["bash", checkout / "launch/pack.sh", archive], check=True, capture_output=True, text=True
    )
    assert said.stderr.splitlines() == [
        "left out, not tracked by git: .env",
        "left out, not tracked by git: key.json",
    ]
    with tarfile.open(archive) as packed:
        assert set(packed.getnames()) == {"launch/pack.sh", "tracked.py", "added.gin"}
        assert packed.extractfile("tracked.py").read() == b"changed"


@pytest.fixture
def worker(tmp_path):
    """A checkout whose training is a few lines; calls its worker.sh."""
    for folder in ("launch", "babeldraw/cli", ".venv/bin"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "launch/worker.sh").write_text((ROOT / "launch/worker.sh").read_text())
    (tmp_path / "babeldraw/cli/main.py").write_text(TRAIN)
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)

    def call(*words, code=0):
        result = subprocess.run(
            ["bash", tmp_path / "launch/worker.sh", *words],
            capture_output=True,
            text=True,
            timeout=30,
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
        )
        assert result.returncode == code, result
        return result.stdout + result.stderr

    yield call
    call("stop")


def test_a_worker_starts_waits_and_stops(worker):
    worker("start", "A=b c", "--", "train", "--model_dir=x y")
    assert "running" in worker("status")
    assert "a job runs here already" in worker("start", "--", "x", code=1)
    time.sleep(0.5)
    worker("stop")
    assert "['train', '--model_dir=x y']\nsaved" in worker("wait", code=75)
    assert "last exit code 75" in worker("status")


def test_a_worker_ends_with_the_jobs_exit_code(worker):
    worker("start", "--", "train", "--model_dir=fail")
    assert "fail" in worker("wait", code=2)
