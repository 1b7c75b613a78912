"""Contract: of an object store's directory one run at a time is the owner, however others end."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from babeldraw.errors import UserError
from babeldraw.training.keeping import remote_claim
from babeldraw.training.keeping.claim import claim

HOLD = """
import sys, time
from babeldraw.training.keeping import remote_claim

remote_claim.BEAT_SECONDS = float(sys.argv[2])
with remote_claim.holding(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def store(tmp_path, monkeypatch):
    """TensorStore's files: they compare generations as Google's store does."""
    monkeypatch.setattr(remote_claim, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(remote_claim, "DEAD_SECONDS", 1.5)
    return tmp_path.as_uri() + "/run"


@pytest.fixture
def elsewhere(monkeypatch):
    """Processes of other machines: nothing is known of their numbers."""
    monkeypatch.setattr(remote_claim, "_place", lambda: "another machine")


def hold(store, beat=0.1):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, store, str(beat)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


def read(tmp_path):
    return json.loads((tmp_path / "run" / remote_claim.OBJECT).read_text())


def test_one_run_at_a_time(store, tmp_path, elsewhere):
    other = hold(store)
    try:
        with pytest.raises(UserError, match=f"is being written to by process {other.pid} on "):
            claim(store).__enter__()
    finally:
        other.kill()
        other.communicate()
    # One that is silent is dead.
    with claim(store):
        assert read(tmp_path)["process"] == os.getpid()
    assert not (tmp_path / "run" / remote_claim.OBJECT).exists()


def test_a_dead_process_of_this_machine_is_not_waited_for(store, monkeypatch):
    other = hold(store)
    other.kill()
    other.communicate()
    monkeypatch.setattr(remote_claim, "_watch", lambda *_: pytest.fail("waits"))
    with claim(store):
        pass


def test_one_that_is_taken_over_ends(store, tmp_path):
    with hold(store, beat=1) as other:
        path = tmp_path / "run" / remote_claim.OBJECT
        path.write_text(json.dumps({"run": "2", "process": 5, "host": "far", "at": time.time()}))
        _, said = other.communicate(timeout=30)
    assert other.returncode == 2
    assert said.startswith(f"babeldraw: error: {store} has been taken over by process 5 on far")


def test_of_many_that_begin_at_once_one_gets_it(store, monkeypatch):
    monkeypatch.setattr(remote_claim, "_is_dead", lambda owner: True)  # All see nobody.
    got = []

    def begin():
        try:
            kv_store = remote_claim.ts.KvStore.open(store + "/").result()
            remote_claim._take(kv_store, remote_claim._me(), store)
            got.append(True)
        except UserError:
            pass

    read_all = threading.Barrier(8)
    write = remote_claim._write

    def write_after_all_have_read(*arguments):
        read_all.wait()
        return write(*arguments)

    monkeypatch.setattr(remote_claim, "_write", write_after_all_have_read)
    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1


def test_a_store_that_does_not_answer_is_a_sentence(monkeypatch):
    class Store:
        def read(self, name):
            raise ValueError("PERMISSION_DENIED: 403 Forbidden\nmore")

    class Opened:
        def result(self, timeout):
            return Store()

    monkeypatch.setattr(remote_claim.ts.KvStore, "open", lambda url: Opened())
    with pytest.raises(UserError, match=r"gs://b/a cannot be claimed \(PERMISSION_DENIED: 403 F"):
        claim("gs://b/a").__enter__()
