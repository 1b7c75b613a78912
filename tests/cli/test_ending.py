"""Contract: whatever ends a command, its process ends within seconds, with the right exit code."""

import subprocess
import sys
import time

import pytest

PROGRAM = """
import ctypes, sys, threading, time, types
from babeldraw.cli import main as cli
from babeldraw.errors import Stopped, UserError
from babeldraw.parallel import failing


class Iterator:
    '''Waits for ever when it is freed, and holds the interpreter lock, as one of tf.data may.'''

    def __del__(self):
        ctypes.PyDLL(None).sleep(1000)


def fail(how):
    batches = Iterator()
    threading.Thread(target=time.sleep, args=[1000]).start()
    if how == "freed":
        failing.leave_within(1, 2)
    elif how:
        raise eval(how)
    else:
        kept.append(batches)


def run(args):
    print("working")
    fail(sys.argv[2])
    return 0


kept = []
failing._END_SECONDS = 2
failing._C_SECONDS = 1
cli._subcommand = lambda name: types.SimpleNamespace(
    SUMMARY="", add_arguments=lambda parser: parser.add_argument("how"), run=run
)
cli.run_process()
"""


@pytest.mark.parametrize(
    ("how", "code", "last"),
    [
        ("", 0, ""),
        ("UserError('the disk is full')", 2, "babeldraw: error: the disk is full"),
        ("ZeroDivisionError('a bug')", 1, "ZeroDivisionError: a bug"),
        ("MemoryError()", 1, "MemoryError"),
        (
            "RuntimeError('RESOURCE_EXHAUSTED: Out of memory')",
            1,
            "RuntimeError: RESOURCE_EXHAUSTED: Out of memory",
        ),
        ("Stopped('stopped by SIGTERM')", 75, "babeldraw: stopped by SIGTERM"),
        ("Stopped('stopped', by_keyboard=True)", 130, "babeldraw: stopped"),
        ("KeyboardInterrupt()", 130, "babeldraw: interrupted"),
        ("freed", 1, "in __del__"),
    ],
)
def test_ends(how, code, last):
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "train", how], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == code, done.stderr
    assert done.stdout == "working\n"
    if how == "freed":  # where it waits
        assert last in done.stderr
    else:
        assert done.stderr.splitlines()[-1:] == [last] * bool(last)
    assert time.monotonic() - began < 30
