import json
import math

import pytest
from etils import epath

from babeldraw.training.watching.metrics import JsonLines, duration, log_line

VALUES = {
    "seconds_per_step": 0.312,
    "images_per_second": 26.3,
    "loss": 6.2134,
    "accuracy": 0.5,
    "grad_norm": 1.0,
    "learning_rate": 4.5e-5,
}


def test_log_line_is_the_house_format():
    assert log_line(50, 20000, "train", VALUES) == (
        "step 00050/20000 (0.2%) | loss 6.213 | lr 4.5e-05 | 312 ms | 26.3 images/s | eta 1h43m"
    )


def test_log_line_of_several_players_and_short_steps():
    values = VALUES | {"seconds_per_step": 0.0203, "b/loss": 1.0, "a/loss": 2.0}
    del values["loss"]
    line = log_line(100, 100, "train", values)
    assert line == (
        "step 100/100 (100.0%) | b/loss 1.000 | a/loss 2.000 | lr 4.5e-05 | 20.3 ms | "
        "26.3 images/s | eta 0s"
    )


def test_log_line_says_how_many_steps_were_skipped_and_the_goodput():
    assert "skipped" not in log_line(1, 2, "train", VALUES | {"skipped_steps": 0.0})
    line = log_line(1, 2, "train", VALUES | {"skipped_steps": 3.0, "goodput": 0.934})
    assert " | 3 steps skipped: loss or gradient not finite | lr " in line
    assert " images/s | goodput 93% | eta " in line


def test_log_line_shows_a_discriminator_that_wins():
    values = VALUES | {"d/real_accuracy": 1.0, "d/made_accuracy": 0.985}
    line = log_line(1, 2, "train", values)
    assert " | loss 6.213 | d/real_accuracy 100% | d/made_accuracy 98% | lr " in line


def test_log_line_of_an_evaluation():
    assert log_line(5, 10, "eval", {"loss": 1.25}) == "step 05/10 (50.0%) | eval | loss 1.25"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(42.9, "42s"), (725, "12m05s"), (6150, "1h42m"), (183600, "2d03h"), (60, "1m00s")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_json_lines_drop_what_will_be_taken_again(tmp_path):
    path = epath.Path(tmp_path) / "metrics.jsonl"
    writer = JsonLines(path, 0)
    for step in (1, 2, 3):
        writer(step, "train", {"loss": 1.0 / step})
    with path.open("a") as file:
        file.write('{"step": 4, "spl')  # Killed while writing.
    writer = JsonLines(path, 2)
    writer(3, "eval", {"loss": math.inf})
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(r["step"], r["split"], r["loss"]) for r in records] == [
        (1, "train", 1.0),
        (2, "train", 0.5),
        (3, "eval", None),
    ]
    assert all(record["time"] > 1.6e9 for record in records)
