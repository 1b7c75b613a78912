"""Contract: what a run says of itself while it runs."""

import json
import subprocess
import sys
import types

import pytest
from etils import epath

from babeldraw.cli.support.machines import load_machine_file
from babeldraw.cli.support.paths import repository_root
from babeldraw.errors import UserError
from babeldraw.models.flops import Flops
from babeldraw.planning.chips import CHIPS, split_name
from babeldraw.training.machine import Machine
from babeldraw.training.watching.hosts import SlowestHost
from babeldraw.training.watching.metrics import log_line
from babeldraw.training.watching.profiler import Profiler
from babeldraw.training.watching.trackers import WeightsAndBiases
from tests.training.toy import Toy


def records(directory):
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


class Counted(Toy):
    def flops(self):
        return Flops({}, rest=0, frozen=10)


def test_a_trace_mfu_and_the_slowest_host(run, tmp_path):
    machine = Machine(mesh={"data": 1}, peak_flops=1e6)
    run(3, name="a", objective=Counted(), machine=machine, profile_steps="2:3")
    (trace,) = (tmp_path / "a" / "profile").rglob("*.xplane.pb")
    assert trace.stat().st_size > 0
    for record in records(tmp_path / "a"):
        rows = record["images_per_second"] * record["seconds_per_step"]
        assert record["mfu"] == pytest.approx(10 * rows / 1e6 / record["seconds_per_step"])
        assert record["slowest_host"] == 0 and record["slowest_host_wait"] >= 0
    assert list((tmp_path / "a" / "tensorboard").iterdir())


def test_without_a_known_peak_there_is_no_mfu(run, tmp_path):
    run(1, name="a", objective=Counted())
    assert "mfu" not in records(tmp_path / "a")[0]
    line = {"loss": 1.0, "learning_rate": 0.1, "seconds_per_step": 1.0, "images_per_second": 1.0}
    assert "mfu" not in log_line(1, 2, "train", line)
    assert "| mfu 41.2% | eta 1s" in log_line(1, 2, "train", line | {"mfu": 0.412})


@pytest.mark.parametrize("path", sorted((repository_root() / "configs").glob("v*.py")), ids=str)
def test_machine_files_know_the_peak_of_their_chips(path):
    config = load_machine_file(str(path))
    _, family, _ = split_name(config.topology)
    assert config.peak_flops == CHIPS[family].peak_flops


@pytest.mark.parametrize("steps", ["10", "0:3", "5:4", "a:b", "1:2:3"])
def test_steps_that_cannot_be_traced(steps):
    with pytest.raises(UserError, match="give the first and the last step"):
        Profiler(steps, epath.Path("unused"))


STUCK = """
import time
from babeldraw.training.watching.watchdog import Watchdog

def all_reduce():
    time.sleep(1.5)

with Watchdog(0.5) as watchdog:
    for _ in range(3):
        watchdog.beat()
        time.sleep(0.2)
    print("lively", flush=True)
    all_reduce()
"""


def test_a_stuck_step_shows_its_stacks():
    said = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, check=True)
    assert said.stdout == "lively\n"
    assert said.stderr.count("Timeout") == 1
    assert "in all_reduce" in said.stderr


def test_waits_are_counted_since_the_last_time():
    waited = iter([1.0, 1.5])
    host = SlowestHost(lambda: next(waited))
    assert host.since_last()["slowest_host_wait"] == 1.0
    assert host.since_last()["slowest_host_wait"] == 0.5


def test_weights_and_biases(run, monkeypatch):
    logged = []
    fake = types.ModuleType("wandb")
    fake.init = lambda **settings: (
        logged.append(settings)
        or types.SimpleNamespace(log=lambda values, step: logged.append((step, values)))
    )
    fake.Image = lambda picture: picture.shape
    monkeypatch.setitem(sys.modules, "wandb", fake)
    run(2, name="a", wandb_project="p", pictures_every=2)
    settings, *steps, pictures = logged
    assert settings["project"] == "p" and settings["name"] == "a"
    assert settings["resume"] == "allow"
    assert [step for step, _ in steps] == [1, 2]
    assert "train/painter/loss" in steps[0][1]
    assert pictures == (2, {"pictures/rows": (4 * 98 + 2, 2 * 98 + 2, 3)})


def test_weights_and_biases_that_are_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match="the package wandb is not installed"):
        WeightsAndBiases("p", epath.Path("runs/a"))
