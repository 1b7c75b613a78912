"""Contract: classes are drawn by name or number, or nothing is asked for; mistakes say which."""

import json

import numpy as np
import pytest
from PIL import Image

from babeldraw.cli.support.conditions import Classes
from babeldraw.cli.support.runs import open_run
from babeldraw.errors import UserError
from babeldraw.files import OUTPUT_MARK
from babeldraw.training.keeping import class_names
from tests.cli import runs
from tests.cli.test_sample import metadata, refused, sample
from tests.models import tiny

NAMES = ("fire fighter", "cook", "pilot")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.write_image_tokens(tmp_path_factory.mktemp("runs"), NAMES)


@pytest.fixture(scope="module")
def unconditional(tmp_path_factory):
    return runs.write_image_tokens(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return runs.write_text_to_image(tmp_path_factory.mktemp("runs"))


def test_pictures_are_those_of_the_classes(run, tmp_path):
    """A name, and a number with a second class; they are what the sampler itself draws."""
    asked = ("--class", "Fire Fighter", "--class", 2, "--and", "cook", -0.5)
    settings = ("--num_samples=2", "--seed=7", "--guidance_weight=1.5", "--cutoff=0.1")
    assert sample("--checkpoint", run, *asked, *settings, "--output", tmp_path) == 0
    stems = ["fire-fighter", "pilot"]
    expected = {f"{stem}-{number:02d}.png" for stem in stems for number in range(2)}
    assert {path.name for path in tmp_path.iterdir()} == expected | {"grid.png", OUTPUT_MARK}
    said = metadata(tmp_path / "pilot-01.png")
    assert (said["class"], said["sample"], said["seed"]) == ("pilot", "1", "7")
    assert "prompt" not in said
    assert json.loads(said["settings"])["and"] == [["cook", -0.5]]
    sampler = open_run(run).sampler(guidance_weight=(1.5, -0.5), cutoff=0.1)
    images = sampler(np.asarray([[0, 1], [2, 1]]), num_samples=2, seed=7)
    for row, stem in enumerate(stems):
        for number in range(2):
            with Image.open(tmp_path / f"{stem}-{number:02d}.png") as picture:
                np.testing.assert_array_equal(np.asarray(picture), images[row, number])


def test_nothing_is_drawn_after_given_rows(unconditional, tmp_path):
    start = tmp_path / "start.png"
    Image.fromarray(tiny.images(1, seed=9)[0]).save(start)
    given = ("--unconditional", "--start", start, "--rows=2", "--num_samples=2", "--top_k=3")
    assert sample("--checkpoint", unconditional, *given, "--output", tmp_path / "out") == 0
    drawn = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert drawn == ["grid.png", "unconditional-00.png", "unconditional-01.png"]
    said = metadata(tmp_path / "out" / "unconditional-01.png")
    assert json.loads(said["settings"])["rows"] == 2 and not {"prompt", "class"} & said.keys()


def test_a_run_with_texts_draws_without_one(texts, tmp_path):
    draws = ("--unconditional", "--num_samples=1", "--output", tmp_path)
    assert sample("--checkpoint", texts, *draws) == 0
    assert (tmp_path / "unconditional-00.png").exists()


def test_examples_are_the_classes(run, unconditional, capsys):
    assert sample("--checkpoint", run, "--examples") == 0
    said = capsys.readouterr().out
    assert "was trained on 3 classes:\n  0 fire fighter\n  1 cook\n  2 pilot\n" in said
    assert said.endswith(f'\n  babeldraw sample --class "fire fighter" --checkpoint {run}\n')
    assert "draw with --unconditional" in refused(
        capsys, "--checkpoint", unconditional, "--examples"
    )


def test_a_conversation_of_classes(run, tmp_path, monkeypatch, capsys):
    lines = iter(["firefighter", "pilot", ""])
    monkeypatch.setattr("builtins.input", lambda asked: asked == "class> " and next(lines))
    settings = ("--interactive", "--num_samples=1", "--output", tmp_path)
    assert sample("--checkpoint", run, *settings) == 0
    said = capsys.readouterr().out
    assert said.startswith("A class a line") and '(closest: "fire fighter")' in said
    assert (tmp_path / "pilot-grid.png").exists()


def test_what_a_run_does_not_know_is_one_sentence(run, unconditional, texts, capsys):
    for directory, asked, says in (
        (run, ("--class", "firefigther"), 'none of the 3 classes of .* (closest: "fire fighter")'),
        (run, ("--class", "xyz"), "; --examples lists them."),
        (run, ("--class", 3), '"3" is none of the 3 classes'),
        (run, ("--class", "cook", "--and", "rain", 1), '"rain" is none of the 3 classes'),
        (run, ("a cook",), 'knows classes and reads no texts such as "a cook"'),
        (run, ("--class", "cook", "--rerank", run), "--rerank compares pictures with a text"),
        (texts, ("--class", "cook"), "knows texts and no classes"),
        (unconditional, ("--class", "cook"), "was trained on pictures alone"),
        (unconditional, ("a cook",), "was trained on pictures alone"),
        (unconditional, ("--interactive",), "was trained on pictures alone"),
        (run, ("a cook", "--class", "cook"), "are ways to say what to draw"),
        (run, ("--unconditional", "--guidance_weight=2"), "--guidance_weight goes by what is"),
        (run, ("--unconditional", "--interactive"), "--interactive goes by what is"),
        (run, ("--unconditional", "--and", "cook", 1), "--and goes by what is"),
        (run, ("--examples", "--class", "cook"), "--examples draws nothing"),
    ):
        said = refused(capsys, "--checkpoint", directory, *asked)
        assert all(part in said for part in says.split(".*")), said


def test_names_of_other_classes_are_refused(tmp_path, capsys):
    run = runs.write_image_tokens(tmp_path, NAMES)
    (tmp_path / "image_tokens" / class_names.NAME).write_text("cook\npilot\n")
    assert "names 2 classes and the model has 3; bring the file back" in refused(
        capsys, "--checkpoint", run, "--class", "cook"
    )


def test_names_come_before_numbers_and_may_be_missing():
    def number(said, names, count):
        return int(Classes("run", names, count).read([said])[0].condition)

    assert number("1", ("1", "0", "Crane"), 3) == 0
    assert number("2", ("1", "0", "Crane"), 3) == 2
    twice = ("crane", "Crane", "crane")
    assert number("Crane", twice, 3) == 1
    for said, numbers in (("crane", "0 and 2"), ("CRANE", "0 and 1 and 2")):
        with pytest.raises(UserError, match=f"may be the classes {numbers}; give one of those"):
            number(said, twice, 3)
    nameless = Classes("run", (), 3).read(["2"])[0]
    assert (int(nameless.condition), nameless.name) == (2, "class 2")
    with pytest.raises(UserError, match="keeps no names of its classes"):
        number("crane", (), 3)
