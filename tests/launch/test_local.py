"""Contract: several processes on this computer are one run, and come back when one of them dies."""

import argparse
import random

import pytest

from benchmarks import babysitter
from launch import job, local, run
from launch.babysitter import Outcome


def parsed(tmp_path, *more):
    line = ["--on=local", "--config=configs/cpu_2x4.py", "--gin_file=tests/launch/tiny.gin"]
    args = run.make_parser().parse_args([*line, f"--model_dir={tmp_path}/run", *more])
    return job.make_job(args), args


def test_commands(tmp_path):
    described, args = parsed(tmp_path, "--num_processes=4", "--devices_per_process=2", "--env=A=b")
    started = local.commands(described, args, port=1234)
    assert [argv[-1] for _, argv in started] == [f"--process_id={index}" for index in range(4)]
    environment, argv = started[0]
    assert {"--coordinator_address=localhost:1234", "--num_processes=4"} <= set(argv)
    assert "--xla_force_host_platform_device_count=2" in environment["XLA_FLAGS"].split()
    assert environment["A"] == "b"
    alone, _ = local.commands(*parsed(tmp_path), port=1)[0]
    assert "JAX_CPU_COLLECTIVES_IMPLEMENTATION" not in alone


@pytest.fixture
def processes(tmp_path, monkeypatch):
    """Runs shell commands in place of training, one a process."""

    def run_these(*scripts):
        monkeypatch.setattr(local, "repository_root", lambda: tmp_path)
        monkeypatch.setattr(local, "GRACE_SECONDS", 1)
        monkeypatch.setattr(
            local, "commands", lambda *_: [({}, ["bash", "-c", script]) for script in scripts]
        )
        described = job.Job("a-run", (), "runs/a", 1, "", "", "", {})
        return local.run(described, argparse.Namespace())

    return run_these


def test_all_well(processes, capfdbinary):
    assert processes("echo first", "echo second") == Outcome(0, "all processes ended well")
    said = capfdbinary.readouterr().out
    assert b"first\n" in said and b"second" not in said  # process 0 alone is heard


def test_a_killed_process_is_the_reason(processes):
    outcome = processes("sleep 0.4; exit 1", "kill -KILL $$", "sleep 60")
    assert outcome == Outcome(137, "process 1 of 3 was killed by SIGKILL")


def test_the_failures_own_sentence_is_the_reason(processes):
    outcome = processes("sleep 60", "echo 'babeldraw: error: no data here' >&2; exit 2")
    assert outcome == Outcome(2, "process 1 of 2 ended with exit code 2 (no data here)")


def test_a_saved_run_may_go_on(processes):
    assert processes("exit 75", "exit 75").exit_code == 75


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["toy", "tiny"])
def test_a_run_with_a_killed_process_ends_in_the_same_bits(recipe, tmp_path):
    """A 2x4 mesh over four processes; ten times: python -m benchmarks.babysitter."""
    difference, rounds = babysitter.compare(tmp_path / "out", 1, recipe, random.randrange(1000))
    assert difference < 1e-5
    assert all(played.identical for played in rounds)
