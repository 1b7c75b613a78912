"""One run a directory, and sentences for what the file system refuses."""

import contextlib
import errno
import os
import resource
import signal
import subprocess
import sys

import pytest

from babeldraw.errors import UserError
from babeldraw.training.keeping.claim import LOCK, claim, writing_to

HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "a+")
fcntl.lockf(file, fcntl.LOCK_EX)
file.truncate(0); file.write("process 77 on far"); file.flush()
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_run_is_refused_until_the_first_is_killed(tmp_path):
    (tmp_path / "run").mkdir()
    other = subprocess.Popen(
        [sys.executable, "-S", "-c", HOLD, str(tmp_path / "run" / LOCK)], stdout=subprocess.PIPE
    )
    with other, contextlib.ExitStack() as stack:
        stack.callback(other.kill)
        other.stdout.readline()
        with (
            pytest.raises(UserError, match=r"run is being written to by process 77 on far: wait"),
            claim(str(tmp_path / "run")),
        ):
            pass
        other.send_signal(signal.SIGKILL)
        other.wait()
    with claim(str(tmp_path / "run")):
        assert f"process {os.getpid()} on" in (tmp_path / "run" / LOCK).read_text()
    with claim(str(tmp_path / "run")):  # And again in the same process.
        pass


def test_a_run_that_is_refused_leaves_nothing(tmp_path):
    """Not of what it made itself; what was there, or has been written since, stays."""
    (tmp_path / "bare").mkdir()
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "own.txt").touch()
    for folder in ("new/runs/a", "bare", "kept", "begun"):
        with pytest.raises(UserError, match="refused"), claim(str(tmp_path / folder)):
            (tmp_path / folder / "checkpoints").mkdir()
            if folder == "begun":
                (tmp_path / folder / "settings.json").touch()
            raise UserError("refused")
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    kept = {f"kept/{name}" for name in ("own.txt", "lock", "checkpoints")}
    begun = {f"begun/{name}" for name in ("settings.json", "lock", "checkpoints")}
    assert left == {"bare", "kept", *kept, "begun", *begun}


@pytest.mark.parametrize("place", ["/proc/run", "/dev/null/run"])
def test_a_place_where_nothing_can_be_made(place):
    with pytest.raises(UserError, match=f"{place} cannot be read or written"), claim(place):
        pass


def test_a_store_that_cannot_be_claimed():
    with claim("hdfs://bucket/run"):
        pass


def test_a_full_disk_is_a_sentence(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(UserError, match=r"disk that holds .* is full"), writing_to("run"):
            (tmp_path / "big").write_bytes(bytes(1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(PermissionError), writing_to(str(tmp_path)):
        raise PermissionError(errno.EACCES, "Permission denied", "/elsewhere/picture.png")
    with pytest.raises(ValueError, match="a bug"), writing_to(str(tmp_path)):
        raise ValueError("a bug")
