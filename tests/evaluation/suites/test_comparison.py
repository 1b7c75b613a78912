"""Contract: reports of one suite are compared prompt by prompt; of two they are refused."""

import json

import numpy as np
import pytest
from PIL import Image

from babeldraw.cli.main import main
from babeldraw.errors import UserError
from babeldraw.evaluation.suites import comparison
from babeldraw.evaluation.suites.folders import KIND, is_report
from babeldraw.evaluation.suites.read_reports import read_all

N = 40
NAMES = [f"p{number:02d}" for number in range(N)]


def number(value, interval, n=N):
    return {"value": value, "interval": interval, "n": n, "warnings": []}


def write(folder, values, distance, digest="a", seed=0):
    """A report as `evaluate` writes it: a mean over prompts, and a distance of sets."""
    (folder / "pictures/00000").mkdir(parents=True)
    mean = float(np.mean(values))
    report = {
        "kind": KIND,
        "suite": {"name": "s", "prompts": N, "sha256": digest},
        "model": {"run": folder.name},
        "drawing": {"seed": seed, "num_samples": 1},
        "scores": {
            "match": {"settings": {}, "values": {"cosine": number(mean, [mean - 1, mean + 1])}},
            "sets": {
                "settings": {},
                "values": {"fid": number(distance, [distance - 3, distance + 3])},
            },
        },
    }
    (folder / "report.json").write_text(json.dumps(report))
    lines = []
    for place, name in enumerate(NAMES):
        file = f"pictures/00000/{name}-0.png"
        Image.fromarray(np.full((4, 4, 3), place, np.uint8)).save(folder / file)
        scores = {"match: cosine": float(values[place])}
        lines.append(
            {"id": name, "prompt": f"prompt {place}", "pictures": [file], "scores": scores}
        )
    (folder / "prompts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return str(folder)


@pytest.fixture
def two(tmp_path):
    """The second is better by 0.1 on each prompt but two; prompts differ far more."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=N)
    better = values + 0.1 + 0.01 * rng.normal(size=N)
    better[7], better[9] = values[7] - 0.5, values[9]
    return [
        write(tmp_path / "one", values, 20.0),
        write(tmp_path / "two", better, 16.0, seed=1),
    ]


def test_differences_are_paired_by_prompt(two):
    reports = read_all(two)
    mean, distance = comparison.differences(*reports)
    assert mean.name == "match: cosine" and mean.n == N
    assert mean.value == pytest.approx((0.1 * 38 - 0.5) / N, abs=0.01)
    # Unpaired, intervals of two means of such a spread would have the difference drown.
    low, high = mean.interval
    assert 0 < low < mean.value < high < 0.2
    assert (distance.name, distance.value, distance.n) == ("sets: fid", -4.0, 0)
    assert distance.interval == pytest.approx((-4 - 18**0.5, -4 + 18**0.5))


def test_the_page_shows_gains_losses_and_what_was_set_otherwise(two, tmp_path):
    page = comparison.page(read_all(two))
    for said in ("beyond doubt", "38 prompts gain, 1 lose, 1 stay", "drawing: seed", "prompt 7"):
        assert said in page
    assert "drawing: num_samples" not in page
    assert main(["report", *two, "--output", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").read_text() == page


def test_another_suite_is_refused(two, tmp_path, capsys):
    other = write(tmp_path / "three", np.zeros(N), 1.0, digest="b")
    assert main(["report", two[0], other]) == 2
    said = capsys.readouterr().err
    assert "three is of another suite than" in said and said.count("\n") == 1
    with pytest.raises(UserError, match="has no report of `babeldraw evaluate --suite`"):
        read_all([two[0], str(tmp_path)])
    assert main(["report", two[0]]) == 2
    assert "give a second evaluation of the same suite" in capsys.readouterr().err
    assert not is_report(str(tmp_path))


def test_foreign_reports_are_text(two, tmp_path):
    """Markup, paths that lead out, and values that are none."""
    folder = tmp_path / "two"
    report = json.loads((folder / "report.json").read_text())
    report["scores"]["match"]["values"]["cosine"]["value"] = "<b>1</b>"
    report["scores"]["odd"] = [1]
    (folder / "report.json").write_text(json.dumps(report))
    lines = [json.loads(line) for line in (folder / "prompts.jsonl").read_text().splitlines()]
    lines[7]["pictures"] = ["../one/pictures/00000/p07-0.png"]
    lines[7]["scores"]["match: cosine"] = -9
    lines[8]["scores"] = {"match: cosine": "<i>"}
    (folder / "prompts.jsonl").write_text("\n".join([*map(json.dumps, lines), "[", '{"id": 3}']))
    reports = read_all(two)
    assert [each.name for each in comparison.differences(*reports)] == ["sets: fid"]
    assert reports[1].picture("p07") is None and reports[1].picture("p09") is not None
    page = comparison.page(reports)
    assert "<b>" not in page and "<i>" not in page
