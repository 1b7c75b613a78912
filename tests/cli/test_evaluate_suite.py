"""Contract: a suite's report says all that moves its numbers, and repeats to the last digit."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from babeldraw.cli.main import main
from babeldraw.cli.support import scorers
from babeldraw.cli.support.prompts import encode_prompts
from babeldraw.cli.support.runs import open_run
from babeldraw.evaluation.scores.base import mean_result
from tests.cli import runs
from tests.models import tiny

pytestmark = pytest.mark.optimised

ROWS = [
    {"id": f"p{n}", "prompt": text, "category": kind, "challenge": "basic"}
    for n, (text, kind) in enumerate(
        [("a cook", "people"), ("a dog", "animals"), ("a cat", "animals"), ("a pilot", "people")]
    )
]
VOLATILE = "made"


class Brightness:
    """Of each picture; that of its real one is in the settings."""

    name = "brightness"

    def __init__(self, references):
        self.settings = {"references": 0 if references is None else len(references)}

    def of(self, pictures, texts, references):
        values = np.array([picture.mean() / 255 for picture in pictures])
        assert len(values) == len(texts)
        return {"mean": mean_result(values, ("It says nothing.",))}


@pytest.fixture(autouse=True)
def light(monkeypatch):
    def open_scores(args, suite, own, references, drawer):
        return [Brightness(references)]

    monkeypatch.setattr(scorers, "open_scores", open_scores)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.write_text_to_image(tmp_path_factory.mktemp("runs"))


def write_suite(folder, rows, references=False):
    folder.mkdir(exist_ok=True)
    for n, row in enumerate(rows if references else ()):
        Image.fromarray(tiny.images(1, seed=n)[0]).save(folder / f"{row['id']}.png")
        row = {**row, "reference": f"{row['id']}.png"}
        rows[n] = row
    (folder / "suite.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "suite.jsonl"


def evaluate(run, suite, output, *arguments):
    line = ["--checkpoint", run, "--suite", suite, "--output", output, *arguments]
    assert main(["evaluate", *map(str, line)]) == 0
    report = json.loads((output / "report.json").read_text())
    made = report.pop(VOLATILE)
    return report, (output / "prompts.jsonl").read_text(), made


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    return write_suite(tmp_path_factory.mktemp("suite"), list(ROWS), references=True)


ARGUMENTS = ("--num_samples=2", "--guidance_weight=1.5", "--cutoff=0.1", "--seed=3")


@pytest.fixture(scope="module")
def first(run, suite, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            scorers, "open_scores", lambda a, s, own, references, d: [Brightness(own[0])]
        )
        output = tmp_path_factory.mktemp("first")
        return output, evaluate(run, suite, output, "--batch_size=4", *ARGUMENTS)


def test_the_report_says_what_moves_its_numbers(first, run):
    output, (report, prompts, made) = first
    drawing = report["drawing"]
    assert drawing["seed"] == 3 and drawing["num_samples"] == 2 and drawing["together"] == 4
    assert drawing["guidance_weight"] == 1.5 and drawing["cutoff"] == 0.1
    assert drawing["pictures"] == drawing["scored"] == 8 and drawing["prompts_cut"] == 0
    assert drawing["rounding"].startswith("uint8") and drawing["rerank"] is None
    assert report["model"]["run"] == run and len(report["model"]["weights"]) == 64
    assert report["suite"]["prompts"] == 4 and len(report["suite"]["sha256"]) == 64
    assert report["references"]["n"] == 4 and report["references"]["framing"]
    assert {"jax", "numpy", "babeldraw"} < set(report["versions"])
    value = report["scores"]["brightness"]["values"]["mean"]
    assert value["n"] == 8 and value["interval"][0] <= value["value"] <= value["interval"][1]
    assert set(report["by"]["category"]) == {"people", "animals"}
    assert report["by"]["challenge"] == {}  # of one there is nothing to tell apart
    lines = [json.loads(line) for line in prompts.splitlines()]
    assert [line["id"] for line in lines] == ["p0", "p1", "p2", "p3"]
    for line in lines:
        found = [np.asarray(Image.open(output / name)).mean() / 255 for name in line["pictures"]]
        assert line["scores"]["brightness: mean"] == pytest.approx(np.mean(found), rel=1e-5)
    assert made["pictures_drawn_now"] == 8 and made["pictures_a_second_drawn_and_scored"] > 0


def test_the_page_shows_prompts_and_their_pictures(first):
    output, _ = first
    page = (output / "report.html").read_text()
    for said in ("a cook", "brightness: mean", "By categories", "drawing: guidance_weight", "real"):
        assert said in page
    assert page.count("<img") == 4 * 3
    animals = (output / "categories" / "animals.html").read_text()
    assert "a dog" in animals and "a cook" not in animals and animals.count("<img") == 2 * 3


def test_neither_batches_nor_order_nor_a_kill_change_it(first, run, suite, tmp_path):
    output, (report, prompts, _) = first
    other = write_suite(tmp_path / "turned", list(ROWS[::-1]))
    for row in ROWS:
        (other.parent / f"{row['id']}.png").write_bytes(
            (suite.parent / f"{row['id']}.png").read_bytes()
        )
    rows = [{**row, "reference": f"{row['id']}.png"} for row in ROWS[::-1]]
    other.write_text("\n".join(map(json.dumps, rows)))
    again = tmp_path / "again"
    found = evaluate(run, other, again, "--batch_size=16", *ARGUMENTS)
    assert found[:2] == (report, prompts)
    for name in ("p0-1", "p2-0", "p3-1"):
        (again / "pictures" / "00000" / f"{name}.png").unlink()
    found = evaluate(run, other, again, "--batch_size=4", *ARGUMENTS)
    assert found[:2] == (report, prompts) and found[2]["pictures_drawn_now"] == 3
    for file in (output / "pictures").rglob("*.png"):
        same = again / file.relative_to(output)
        np.testing.assert_array_equal(np.asarray(Image.open(file)), np.asarray(Image.open(same)))


def test_a_coca_chooses_what_is_scored(first, run, suite, tmp_path):
    """Of the same two samples of each prompt the one whose cosine is higher; and says so."""
    output, _ = first
    (tmp_path / "pictures").mkdir()
    shutil.copytree(output / "pictures", tmp_path / "pictures", dirs_exist_ok=True)
    (tmp_path / "drawn.json").write_bytes((output / "drawn.json").read_bytes())
    coca = runs.write_coca(tmp_path / "runs")
    report, prompts, _ = evaluate(run, suite, tmp_path, "--rerank", coca, *ARGUMENTS)
    assert report["drawing"]["scored"] == 4 and report["drawing"]["pictures"] == 8
    chooser = report["drawing"]["rerank"]
    assert chooser["run"] == coca and len(chooser["weights"]) == 64 and report["warnings"] == []
    opened = open_run(coca)
    rerank = opened.reranker()
    for line in map(json.loads, prompts.splitlines()):
        names = [f"pictures/00000/{line['id']}-{k}.png" for k in range(2)]
        images = np.stack([np.asarray(Image.open(output / name)) for name in names])
        text = encode_prompts([line["prompt"]], opened.vocabulary, rerank.model)
        assert line["pictures"] == [names[int(np.argmax(rerank(text, images[None])[0]))]]
    judge = Brightness(None)
    judge.settings = {"weights": chooser["weights"]}
    assert "judges its own choice" in scorers.warnings(chooser["weights"], [judge])[0]


@pytest.mark.slow
def test_an_exported_model_draws_chooses_and_scores_as_its_run(
    first, run, suite, tmp_path, monkeypatch, capsys
):
    _, (report, _, _) = first
    runs_of = {"model": run, "coca": runs.write_coca(tmp_path / "runs")}
    for name, source in runs_of.items():
        line = ["export", "--checkpoint", str(source), "--output", str(tmp_path / name)]
        assert main(line) == 0
    weights = []

    def open_scores(args, suite, own, references, drawer):
        weights.append(scorers._of_run(args.coca[0], captions=False).settings["weights"])
        return [Brightness(own[0])]

    monkeypatch.setattr(scorers, "open_scores", open_scores)

    def scored(model, coca, output):
        arguments = ("--coca", coca, "--rerank", coca, *ARGUMENTS)
        return evaluate(model, suite, output, *arguments)[:2]

    found, prompts = scored(tmp_path / "model", tmp_path / "coca", tmp_path / "of_export")
    assert prompts == scored(run, runs_of["coca"], tmp_path / "of_run")[1]
    assert found["model"]["weights"] == report["model"]["weights"]
    assert weights[0] == weights[1] == found["drawing"]["rerank"]["weights"]
    line = ("--checkpoint", tmp_path / "model", "--suite", suite)
    assert "give --output DIR" in refused(capsys, *line)
    line = (*line, "--output", tmp_path / "out")
    assert "was exported without its data" in refused(capsys, *line, "--bounds")
    assert not (tmp_path / "out").exists()


def refused(capsys, *arguments):
    assert main(["evaluate", *map(str, arguments)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("babeldraw: error: ")
    return lines[-1]


def test_mistakes_are_one_sentence(first, run, suite, tmp_path, capsys):
    line = ("--checkpoint", run, "--output", tmp_path / "out", "--suite")
    assert "--images is of tokenizers" in refused(capsys, *line, suite, "--images=a")
    assert "there is no suite 'emojy'" in refused(capsys, *line, "emojy")
    assert "--rerank chooses among samples" in refused(capsys, *line, suite, "--rerank", run)
    assert "is not a folder" in refused(capsys, *line, suite, "--references=/nowhere")
    assert "draws classes, and this run has none" in refused(capsys, *line, "classes:8")
    assert not (tmp_path / "out").exists()
    output, _ = first
    line = ("--checkpoint", run, "--output", output, "--suite", suite)
    assert "drawn with another seed (3, now 0)" in refused(capsys, *line, *ARGUMENTS[:3])
