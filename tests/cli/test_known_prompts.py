"""Contract: a run tells prompts that it knows, and names words that it never met."""

import json

import pytest

from babeldraw.cli.main import main
from babeldraw.cli.support.known_prompts import unknown_words
from babeldraw.training.keeping.prompts import NAME, Prompts
from tests.cli import runs

KNOWN = Prompts(
    data=None,
    captions=1234,
    all=True,
    seen=[f"cook {number}" for number in range(20)],
    held_out=["a \x1b[2Jpilot"],
    words={"cook": 20, "astronaut": 2, "astronomer": 1},
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.write_text_to_image(tmp_path_factory.mktemp("runs"))


def test_examples_of_a_run(run, capsys):
    with open(f"{run}/{NAME}", "w") as file:
        json.dump({"format": 1, **vars(KNOWN)}, file)
    assert main(["sample", "--checkpoint", run, "--examples"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{run} was trained on 1,234 captions, such as\n  cook 0\n  cook 1\n")
    assert r"  a \x1b[2Jpilot" in said and said.count("\n  cook") == 12
    assert f"More of them are in {run}/prompts.json." in said
    assert said.endswith(f'\n  babeldraw sample "cook 0" --checkpoint {run}\n')


def test_a_run_of_before_is_asked_for_its_data(tmp_path, capsys):
    directory = runs.write_text_to_image(tmp_path)
    assert main(["sample", "--checkpoint", directory, "--examples"]) == 0
    said = capsys.readouterr().out
    assert "was trained on 360 captions, such as" in said and NAME not in said


def test_examples_draw_nothing(run, capsys):
    assert main(["sample", "a cook", "--checkpoint", run, "--examples"]) == 2
    assert "--examples draws nothing; leave out what to draw" in capsys.readouterr().err


def test_words_are_named_with_the_closest():
    assert unknown_words(["Cook", "astronaut!"], KNOWN) is None
    said = unknown_words(["the cook", "an astronot", "XYZ xyz"], KNOWN)
    assert said == (
        'the captions that it was trained on never had the words "the", "an", "astronot" (closest: '
        'astronaut, astronomer), "xyz"; --examples prints some that it knows.'
    )
    many = unknown_words([" ".join(f"{letter}{letter}" for letter in "abcdefgh")], KNOWN)
    assert '"ee" and 3 more;' in many


@pytest.mark.parametrize("part", [{"all": False}, {"least": 3}])
def test_of_a_part_of_the_captions_no_more_is_said_than_is_known(part):
    said = unknown_words(["zebra"], Prompts(**{**vars(KNOWN), **part}))
    assert 'never had, or hardly ever, the word "zebra"; ' in said
