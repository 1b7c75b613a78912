"""Contract: from two folders to a page and a key, and from answers to win rates."""

import json

import pytest

from babeldraw.cli.main import main
from tests.evaluation.people import folders


@pytest.fixture
def two(tmp_path):
    return folders.write(tmp_path / "one", 1), folders.write(tmp_path / "two", 2)


def answer(output, rater, choose):
    """A file as the page downloads it; `choose(pair, whether the first folder is right)`."""
    key = json.loads((output / "key.json").read_text())
    answers = [
        {"pair": pair, "realism": choose(pair, right), "text": "tie"}
        for pair, right in enumerate(key["first_is_right"])
    ]
    head = {"kind": key["kind"], "pairing": key["pairing"], "rater": rater}
    (output / f"{rater}.json").write_text(json.dumps({**head, "answers": answers}))
    return str(output / f"{rater}.json")


def test_from_pictures_to_win_rates(two, tmp_path, capsys):
    output = tmp_path / "out"
    assert main(["rate", *two, "--output", str(output), "--seed=3"]) == 0
    assert f"4 pairs of {two[0]} and {two[1]}" in capsys.readouterr().out
    files = [
        answer(output, rater, lambda pair, right: "right" if right else "left")
        for rater in ("ann", "bob")
    ]
    assert main(["rate", "--output", str(output), "--answers", *files]) == 0
    printed = capsys.readouterr().out
    assert f"first: {two[0]}\nsecond: {two[1]}\n4 pairs, 2 raters: ann (4 pairs)" in printed
    assert "the first wins, no difference as half  100.0% (51.0% to 100.0%)" in printed
    assert "nobody chooses a side" in printed
    result = json.loads((output / "result.json").read_text())
    assert result["questions"]["realism"]["wins"] == 1 and result["raters"] == ["ann", "bob"]
    assert result["questions"]["text"]["shares"]["tie"] == 1


def refused(capsys, *arguments):
    assert main(["rate", *map(str, arguments)]) == 2
    return capsys.readouterr().err


def test_what_cannot_be_done(two, tmp_path, capsys):
    output = tmp_path / "out"
    assert "give two folders" in refused(capsys, two[0], "--output", output)
    assert "give two folders" in refused(capsys, "--output", output)
    assert not output.exists()
    assert main(["rate", *two, "--output", str(output)]) == 0
    first = (output / "key.json").read_bytes()
    assert main(["rate", *two, "--output", str(output)]) == 0
    said = refused(capsys, *two, "--output", output, "--seed=1")
    assert "has a page of other pairs" in said and (output / "key.json").read_bytes() == first
    other = tmp_path / "other"
    assert main(["rate", *two, "--output", str(other), "--seed=1"]) == 0
    file = answer(other, "ann", lambda pair, right: "left")
    assert "answers another page" in refused(capsys, "--output", output, "--answers", file)
    assert not (output / "result.json").exists()
