"""Contract: SIGTERM saves and stops; what goes on from there is the run that was never stopped."""

import os
import signal
import subprocess
import sys
import time

import pytest

from babeldraw.cli import main as cli
from babeldraw.errors import Stopped
from babeldraw.training.keeping.checkpoints import latest_step
from babeldraw.training.machine import Machine
from tests.training.test_loop import assert_bitwise_equal
from tests.training.toy import ToyDataset

MACHINE = Machine(checkpoint_every=0)


class Terminated(ToyDataset):
    """The process is sent SIGTERM while it reads the batch of step 10, a few steps before that."""

    def batches(self, **where):
        for batch in super().batches(**where):
            if batch["index"][0] == 10:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch


def test_saves_stops_and_goes_on_bitwise(run, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    whole, _ = run(14, name="whole", machine=MACHINE)
    with pytest.raises(Stopped, match=r"stopped by SIGTERM after step \d; .* goes on from step"):
        run(1000, machine=MACHINE, train_dataset=Terminated())
    assert signal.getsignal(signal.SIGTERM) == before
    assert latest_step(str(tmp_path / "run")) <= 12
    resumed, _ = run(14, machine=MACHINE)
    assert_bitwise_equal(whole, resumed)


PROGRAM = """
import sys, threading, time, types
import jax
from babeldraw.cli import main as cli
from babeldraw.training import loop, stopping
from babeldraw.training.machine import Machine
from tests.training.toy import Toy, ToyDataset

model_dir, hangs = sys.argv[1:]


def hang():
    print("hangs", flush=True)
    threading.Event().wait()


def hang_in_c(*_):
    print("hangs", flush=True)
    jax.lax.while_loop(lambda i: i >= 0, lambda i: (i + 1) % 1000, 0).block_until_ready()


class Data(ToyDataset):
    def batches(self, *, start_step=0, **where):
        late = hangs == "data" and "num_epochs" not in where  # and not where it is looked at
        for batch in super().batches(start_step=start_step, **where):
            if late and batch["index"][0] == 5 or hangs == "re-reading" and start_step:
                hang()
            yield batch


class Shown(Toy):
    def alarms(self, history, plan):
        hang()


if hangs == "compiling":
    stopping.GRACE_SECONDS = 3
    loop.compile_step = hang_in_c


def run(args):
    loop.train(
        Shown() if hangs == "evaluation" else Toy(),
        model_dir=model_dir,
        train_dataset=Data(),
        eval_dataset=ToyDataset(length=2),
        eval_every=4,
        train_steps=1000,
        machine=Machine(checkpoint_every=0),
        devices=jax.devices()[:1],
    )


cli._subcommand = lambda name: types.SimpleNamespace(
    SUMMARY="", add_arguments=lambda parser: None, run=run
)
sys.argv[1:] = ["train"]
cli.run_process()
"""


def hanging(model_dir, where):
    """A run that hangs now, in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(model_dir), where],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line == "hangs\n":
            return process
    raise AssertionError(process.communicate())


def end(process, *signals):
    """Exit code and last line, of one that is sent signals; fails where it takes 30 s."""
    for number in signals:
        time.sleep(1)  # It has only said so.
        process.send_signal(number)
    _, said = process.communicate(timeout=30)
    return process.returncode, said.splitlines()[-1]


@pytest.mark.parametrize(
    ("where", "number", "code", "step"),
    [
        pytest.param("data", signal.SIGTERM, 75, 4, marks=pytest.mark.slow),
        ("data", signal.SIGINT, 130, 4),
        ("evaluation", signal.SIGTERM, 75, 4),
        ("compiling", signal.SIGTERM, 75, None),
        pytest.param("compiling", signal.SIGINT, 130, None, marks=pytest.mark.slow),
        ("re-reading", signal.SIGTERM, 75, 7),
    ],
)
def test_saves_and_ends_whatever_hangs(where, number, code, step, run, tmp_path):
    if where == "re-reading":
        run(7)
    ended, said = end(hanging(tmp_path / "run", where), number)
    assert ended == code, said
    if step is None:
        assert said.startswith("babeldraw: told to stop, and still busy: left without saving")
    else:
        name = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
        saved = latest_step(str(tmp_path / "run"))
        assert said.startswith(f"babeldraw: stopped by {name} ")
        assert f"after step {saved}; the same command goes on" in said or where == "re-reading"
        # Batches are read ahead of the steps.
        assert step - 3 <= saved <= step if where == "data" else saved == step


def test_the_second_signal_is_not_held_back(tmp_path):
    process = hanging(tmp_path / "run", "compiling")
    code, said = end(process, signal.SIGTERM, signal.SIGTERM)
    assert (code, said) == (128 + 15, "babeldraw: told twice to stop: nothing was saved")


def test_has_an_exit_code_of_its_own(monkeypatch, capsys):
    def run(arguments):
        raise Stopped("stopped by SIGTERM after step 3")

    monkeypatch.setattr(cli, "_run", run)
    assert cli.main(["train"]) == cli.EXIT_STOPPED == 75
    assert capsys.readouterr().err == "babeldraw: stopped by SIGTERM after step 3\n"
