"""Contract: killed at random moments, many of them inside a save, a run ends in the same bits."""

import json

import pytest

from benchmarks import kill_test
from tests.going_on.toy_run import train_from_another, train_toy


def check(folder, kills, **of):
    tally = kill_test.run(folder, kills, seed=kills, **of)
    arrays, losses = tally.pop("arrays compared"), tally.pop("losses compared")
    assert arrays > 10 and losses == kill_test.STEPS_A_LIFE * kills + 2
    assert sum(tally.values()) == kills
    return tally


def test_a_few_kills_of_a_small_run(tmp_path):
    check(tmp_path / "run", 6, train=train_toy, libraries=["tests.going_on.toy_run"])
    # The test can fail: one bit, or one loss, is told.
    path = tmp_path / "run" / "whole" / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[3]["painter/loss"] += 1e-6
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(RuntimeError, match="other losses"):
        kill_test.compare(
            str(path.parent), str(tmp_path / "run" / "killed"), kill_test.STEPS_A_LIFE * 6 + 2
        )


@pytest.mark.slow
def test_a_few_kills_of_a_run_that_started_from_another(tmp_path):
    train_toy(tmp_path, "other", 2)
    check(tmp_path / "run", 6, train=train_from_another, libraries=["tests.going_on.toy_run"])
    log = (tmp_path / "run" / "killed.log").read_text()
    assert f"starts from {tmp_path / 'other'}, step 2:" in log


@pytest.mark.slow
def test_twenty_kills_of_a_text_to_image_run(tmp_path):
    tally = check(tmp_path / "run", 20)
    assert sum(count for moment, count in tally.items() if "inside a save" in moment) >= 5
