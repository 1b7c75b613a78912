"""Contract: two processes train the tiny text-to-image model as one process does, in-layer model
parallelism within each and data parallelism across both."""

import json

import pytest

from tests.objectives import tiny_runs
from tests.objectives.test_training import run, samples
from tests.training.test_processes import run_two

pytestmark = pytest.mark.slow

MACHINE = {"mesh": {"data": 4, "model": 2}}

PROGRAM = f"""
from tests.objectives import tiny_runs
from tests.objectives.test_training import run

objective = tiny_runs.text_to_image(codebook_size=16, optimizer=tiny_runs.ADAFACTOR)
run(objective, model_dir, steps, devices=8, pictures_every=steps, **{MACHINE})
"""


def test_two_processes_train_as_one(tmp_path):
    objective = tiny_runs.text_to_image(codebook_size=16, optimizer=tiny_runs.ADAFACTOR)
    _, one = run(objective, tmp_path / "one", 4, devices=8, pictures_every=4, **MACHINE)
    run_two(tmp_path / "two", 4, PROGRAM)
    lines = (tmp_path / "two" / "metrics.jsonl").read_text().splitlines()
    two = {record["step"]: record["loss"] for record in map(json.loads, lines)}
    assert two.keys() == one.keys() == {1, 2, 3, 4}
    for step, loss in one.items():
        assert two[step] == pytest.approx(loss, rel=1e-6)
    drawn, expected = (samples(tmp_path / name, 4) for name in ("two", "one"))
    assert (drawn == expected).mean() > 0.98
