"""Contract: SIGTERM saves and stops; what goes on from there is the run that was never stopped."""

import os
import signal

import pytest

from babeldraw.cli import main as cli
from babeldraw.errors import Stopped
from babeldraw.training.keeping.checkpoints import latest_step
from babeldraw.training.machine import Machine
from babeldraw.training.stopping import StopRequest
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


def test_the_second_signal_is_not_held_back():
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
    try:
        with StopRequest() as stop:
            assert not stop.reached(1)
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.reached(2) and not heard
            os.kill(os.getpid(), signal.SIGTERM)
            assert heard == [1]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_has_an_exit_code_of_its_own(monkeypatch, capsys):
    def run(arguments):
        raise Stopped("stopped by SIGTERM after step 3")

    monkeypatch.setattr(cli, "_run", run)
    assert cli.main(["train"]) == cli.EXIT_STOPPED == 75
    assert capsys.readouterr().err == "babeldraw: stopped by SIGTERM after step 3\n"
