"""Contract: a job is started again while that helps, and no longer."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from babeldraw.errors import UserError
from launch.attempt import attempt
from launch.babysitter import Outcome, babysit, latest_checkpoint
from launch.exit_codes import INTERRUPTED, SAVED

DEAD = Outcome(137, "process 1 of 4 was killed by SIGKILL")


def attempts(outcomes, steps=None, **settings):
    """Exit code, and the pauses between attempts."""
    queue, pauses = list(outcomes), []
    checkpoints = iter(steps) if steps else iter(lambda: None, 0)
    code = babysit(
        lambda: queue.pop(0),
        progress=lambda: next(checkpoints),
        sleep=pauses.append,
        first_pause=5,
        **settings,
    )
    assert not queue
    return code, pauses


def test_success_ends_it():
    assert attempts([Outcome(0, "")]) == (0, [])


def test_a_preemption_is_no_failure():
    assert attempts([Outcome(SAVED, "")] * 6 + [Outcome(0, "")]) == (0, [0.0] * 6)


def test_the_same_failure_three_times_stops_and_says_so(capsys):
    assert attempts([DEAD] * 3) == (137, [5, 10])
    assert "failed 3 times in the same way (process 1 of 4 was killed" in capsys.readouterr().err


def test_failures_between_checkpoints_are_not_the_same():
    assert attempts([DEAD] * 4 + [Outcome(0, "")], steps=[5, 10, 10, 15]) == (0, [5, 5, 10, 5])


def test_another_reason_is_another_failure():
    other = Outcome(1, "a worker has no data")
    assert attempts([DEAD, other, DEAD, other, Outcome(0, "")]) == (0, [5, 5, 5, 5])


def test_there_is_a_limit(capsys):
    assert attempts([Outcome(SAVED, "it was preempted")] * 3, max_restarts=2) == (SAVED, [0.0] * 2)
    assert "after 2 restarts, the last because it was preempted" in capsys.readouterr().err


def test_pauses_grow_to_five_minutes():
    queue = iter([Outcome(1, "x"), Outcome(1, "x"), Outcome(0, "")])
    slow: list[float] = []
    babysit(lambda: next(queue), progress=lambda: None, first_pause=280, sleep=slow.append)
    assert slow == [280, 300]


@pytest.mark.parametrize("outcome", [Outcome(INTERRUPTED, ""), Outcome(SAVED, "", final=True)])
def test_who_stops_it_by_hand_wants_it_stopped(outcome):
    assert attempts([outcome]) == (outcome.exit_code, [])


def test_latest_checkpoint(tmp_path):
    assert latest_checkpoint(str(tmp_path)) is None
    for name in ("5", "10", "15.orbax-checkpoint-tmp"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    assert latest_checkpoint(str(tmp_path)) == 10


def test_a_directory_that_cannot_be_listed_is_not_an_empty_one(tmp_path, monkeypatch, capsys):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(UserError, match=r"checkpoints cannot be listed \(Permission denied\)"):
        latest_checkpoint(str(tmp_path))
    outcomes = iter([Outcome(SAVED, "it was preempted"), Outcome(0, "")])
    babysit(
        lambda: next(outcomes),
        progress=lambda: latest_checkpoint(str(tmp_path)),
        sleep=lambda _: None,
    )
    assert "from its latest checkpoint, whichever that is (" in capsys.readouterr().err


RUNNING = "ACTIVE\na: running, process 7\nstep 1\nb: running, process 9\n"
ENDED = "ACTIVE\na: not running, last exit code 0\nb: not running, last exit code 1\n"
STEPS = {name: [name] for name in ("create", "install", "start", "logs", "status", "stop")}


def attempt_with(codes, answers):
    """The outcome, and the steps taken; `logs` ends with `codes`, `status` says `answers`."""
    codes, answers, taken = list(codes), list(answers), []

    def execute(commands):
        taken.append(commands[0])
        return codes.pop(0) if commands == ["logs"] else 0

    outcome = attempt(STEPS, 2, execute=execute, ask=lambda _: answers.pop(0), sleep=lambda _: None)
    assert not codes and not answers
    return outcome, taken[1:]


NEW = (255, "")
START = ["install", "start", "logs"]


def test_a_lost_connection_does_not_stop_a_healthy_job():
    outcome, taken = attempt_with([255, 255, 0], [NEW, (0, RUNNING), NEW, (0, RUNNING)])
    assert outcome.exit_code == 0
    assert taken == [*START, "logs", "logs"]


@pytest.mark.parametrize(
    ("code", "answers", "ended", "reason"),
    [
        (255, [(0, ENDED)], 1, "ended with exit code 1"),
        (2, [(0, ENDED)], 2, "ended with exit code 2"),
        (255, [(1, "SUSPENDED\n")], 255, "the slice is SUSPENDED"),
        (255, [NEW] * 20, 255, "workers cannot be reached: 0 of 2 say that they run"),
        (75, [], 75, "has saved a checkpoint"),
    ],
)
def test_what_the_workers_say_counts(code, answers, ended, reason):
    outcome, taken = attempt_with([code], [NEW, *answers])
    assert outcome.exit_code == ended and reason in outcome.reason
    assert taken == [*START, "stop"]


def test_a_job_that_runs_already_is_watched():
    outcome, taken = attempt_with([0], [(0, RUNNING)])
    assert outcome.exit_code == 0
    assert taken == ["logs"]


def test_the_command_line(tmp_path):
    """Fails once, then lives until it is asked to stop, which is final."""
    program = (
        "import pathlib, sys, time\n"
        "first = pathlib.Path(sys.argv[1])\n"
        "if not first.exists(): first.touch(); sys.exit(75)\n"
        "print('up', flush=True); time.sleep(60)\n"
    )
    line = [sys.executable, "-m", "launch.babysitter", f"--model_dir={tmp_path}", "--"]
    process = subprocess.Popen(
        [*line, sys.executable, "-c", program, str(tmp_path / "first")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    said = process.communicate()[1]
    assert time.monotonic() - began < 10
    assert process.returncode == 128 + signal.SIGTERM
    assert "has saved a checkpoint; restart 1 of at most 50 from the start" in said
