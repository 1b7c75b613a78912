"""Contract: where one of several processes cannot go on, all end soon, and process 0 says why."""

import re
import socket
import subprocess
import sys
import time

import pytest

from babeldraw.parallel import failing

PROGRAM = """
import sys, time
from babeldraw.errors import UserError
from babeldraw.parallel import failing, processes

fault, index, count, port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
processes.join(processes.Cluster(f"localhost:{port}", count, index, "flags"), seconds=8)
with failing.together():
    failing.require_agreement({"jax": "0.1" if fault == "version" and index == 1 else "0.2"})
    with failing.together():
        if fault == "no data" and index == 1:
            raise UserError("there is\\nno data here")
        if fault == "full disk" and index == 0:
            raise OSError(28, "No space left on device")
        if fault:
            time.sleep(60)
print("end")
"""


def run(fault, count=2, started=2, said_of_count=None):
    """Exit code and output of each process; fails where it takes a minute."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = str(probe.getsockname()[1])
    began = time.monotonic()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, fault, str(index), str(said), port],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index, said in enumerate(said_of_count or [count] * started)
    ]
    try:
        outputs = [process.communicate(timeout=60)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert time.monotonic() - began < 60
    return [process.returncode for process in processes], outputs


def test_nothing_happens_where_nothing_fails():
    assert run("") == ([0, 0], ["end\n", "end\n"])


@pytest.mark.parametrize(
    ("fault", "code", "sentence"),
    [
        ("no data", 2, r"process 1 of 2 on .* stopped: there is no data here"),
        ("version", 2, r"process 1 of 2 on .* has jax 0.1 and process 0 on .* has 0.2"),
        ("full disk", 1, "No space left on device"),
    ],
)
def test_all_end_with_the_first_failure(fault, code, sentence):
    codes, outputs = run(fault)
    assert codes == [code, code]
    assert re.search(sentence, outputs[0])
    assert len([line for line in outputs[0].splitlines() if "rror: " in line]) == 1


def test_processes_that_do_not_come_are_not_waited_for():
    (code,), (text,) = run("", count=2, started=1)
    assert code == 2
    assert text.count("\n") == 1
    assert "process 0 of 2 on" in text and "has not met all others at localhost" in text


def test_processes_that_count_differently_are_told():
    codes, outputs = run("", said_of_count=[2, 3])
    assert codes == [2, 2]
    assert "has num_processes 3 and process 0 on" in outputs[0]


def test_one_process_needs_nobody():
    with failing.together():
        failing.require_agreement({"jax": "1"})
