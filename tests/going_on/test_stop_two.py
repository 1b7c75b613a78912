"""Contract: SIGTERM or Ctrl-C to one of two processes makes both save the same step and stop."""

import pytest

from babeldraw.training.keeping.checkpoints import latest_step, load_params
from tests.training.test_processes import run_two

pytestmark = pytest.mark.slow

PROGRAM = """
import os, signal
from babeldraw.errors import Stopped
from babeldraw.training.loop import train
from babeldraw.training.machine import Machine
from tests.training.toy import Toy, ToyDataset


class Terminated(ToyDataset):
    def batches(self, **where):
        for batch in super().batches(**where):
            if batch["index"][0] == 20 and jax.process_index() == 1:
                os.kill(os.getpid(), signal.SIGNAL)
            yield batch


try:
    train(
        Toy(),
        model_dir=model_dir,
        train_dataset=Terminated(),
        train_steps=steps,
        machine=Machine(mesh={"data": 8}, checkpoint_every=0),
        log_every=1,
    )
    print("ended")
except Stopped as stopped:
    print("told:", stopped)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_one_is_told_and_both_stop_at_the_same_step(name, tmp_path):
    outputs = run_two(tmp_path / "run", 100_000, PROGRAM.replace("SIGNAL", name))
    told = [line for output in outputs for line in output.splitlines() if "told:" in line]
    assert len(told) == 2 and told[0] == told[1].replace("Ctrl-C", "SIGTERM")
    step = latest_step(str(tmp_path / "run"))
    assert f"after step {step};" in told[0] and 10 <= step < 100_000
    assert load_params(str(tmp_path / "run"))
