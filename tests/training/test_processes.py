"""Contract: two processes of four devices train as one process does."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from babeldraw.training.keeping.checkpoints import load_params
from babeldraw.training.machine import Machine
from tests.training.toy import ToyDataset

START = """
import sys
import jax

jax.config.update("jax_cpu_collectives_implementation", "gloo")
port, index, model_dir, steps = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
jax.distributed.initialize(f"localhost:{port}", 2, index)
assert jax.device_count() == 8 and jax.local_device_count() == 4
"""

PROGRAM = """
from babeldraw.training.loop import train
from babeldraw.training.machine import Machine
from tests.training.toy import Toy, ToyDataset

train(
    Toy(),
    model_dir=model_dir,
    train_dataset=ToyDataset(),
    eval_dataset=ToyDataset(length=2),
    train_steps=steps,
    machine=Machine(mesh={"data": 4, "model": 2}, checkpoint_every=0),
    log_every=1,
    eval_every=steps,
    pictures_every=steps,
)
"""


def run_two(model_dir, steps, program=PROGRAM):
    """Runs `program` in two processes; returns what each printed."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=4",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    arguments = [[str(port), str(index), str(model_dir), str(steps)] for index in (0, 1)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", START + program, *each],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for each in arguments
    ]
    try:
        outputs = [process.communicate(timeout=600)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], outputs
    return outputs


@pytest.mark.slow
def test_two_processes_train_as_one(run, tmp_path):
    run_two(tmp_path / "two", 2)
    first, second = run_two(tmp_path / "two", 4)
    assert "resumed from step 2" in first and "step 4/4" in first
    assert "step" not in second  # Only the first process speaks and writes.
    run(
        4,
        name="one",
        machine=Machine(mesh={"data": 4, "model": 2}, checkpoint_every=0),
        one_device=False,
        eval_dataset=ToyDataset(length=2),
        eval_every=2,
    )

    def records(name):
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    one, two = records("one"), records("two")
    assert [(r["step"], r["split"]) for r in one] == [(r["step"], r["split"]) for r in two]
    for expected, found in zip(one, two, strict=True):
        for name in {"painter/loss", "critic/loss", "painter/grad_norm", "error"} & set(expected):
            assert found[name] == pytest.approx(expected[name], rel=1e-6, abs=1e-7)
    names = sorted(path.name for path in (tmp_path / "two" / "pictures").iterdir())
    assert names == ["rows-000002.png", "rows-000004.png", "rows.json"]


@pytest.mark.slow
def test_two_processes_start_from_another_run(run, tmp_path):
    state, _ = run(2, name="other")
    init_from = f"InitFrom(model_dir={str(tmp_path / 'other')!r}, optimizer=True)"
    program = PROGRAM.replace("    log_every=1,", f"    log_every=1,\n    init_from={init_from},")
    program = "from babeldraw.training.keeping.init_from import InitFrom\n" + program
    first, second = run_two(tmp_path / "two", 2, program)
    assert f"starts from {tmp_path / 'other'}, step 2:\n  taken 3\n" in first
    assert "starts" not in second
    began = load_params(str(tmp_path / "two"), 0)
    for left, right in zip(jax.tree.leaves(began), jax.tree.leaves(state.params), strict=True):
        np.testing.assert_array_equal(left, right)
    first, _ = run_two(tmp_path / "two", 3, program)
    assert "resumed from step 2" in first
