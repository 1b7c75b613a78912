"""Contract: win rates are of the folders whatever their sides; other pages' files are refused."""

import json
import pathlib

import pytest

from babeldraw.errors import UserError
from babeldraw.evaluation.people.answers import Key, outcome, read_answers, read_key
from babeldraw.evaluation.people.pairs import KIND
from babeldraw.evaluation.shares import wilson

KEY = Key("f" * 64, ("one", "two"), ["a", "b", "c", "d"], [False, True, False, True])


def write(folder, rater, realism, text=(), **more):
    answers = [{"pair": pair, "realism": side} for pair, side in enumerate(realism) if side]
    answers += [{"pair": pair, "text": side} for pair, side in enumerate(text)]
    found = {"kind": KIND, "pairing": KEY.pairing, "rater": rater, "answers": answers, **more}
    file = folder / f"{rater}.json"
    file.write_text(json.dumps(found))
    return str(file)


def test_wins_are_of_folders(tmp_path):
    # The first folder is left, right, left, right: it wins twice, loses once, no difference once.
    file = write(tmp_path, "ann", ["left", "right", "right", "tie"], ["left"] * 4)
    raters = read_answers([file], KEY)
    found = outcome("realism", raters, KEY)
    assert found.shares == {"first": 0.5, "second": 0.25, "tie": 0.25}
    assert found.wins == 0.625 and found.interval == wilson(0.625, 4)
    assert (found.answers, found.pairs, found.left) == (4, 4, pytest.approx(1 / 3))
    assert found.agreement is found.kappa is None
    by_side = outcome("text", raters, KEY)
    assert by_side.wins == 0.5 and by_side.left == 1


def test_agreement_of_raters(tmp_path):
    sides = {"ann": ["left", "right", "left", "tie"], "bob": ["left", "right", "right", "left"]}
    names = [write(tmp_path, *each) for each in sides.items()]
    names.append(write(tmp_path, "eve", ["left", "right"]))
    found = outcome("realism", read_answers(names, KEY), KEY)
    assert (found.answers, found.pairs) == (10, 4)
    # All agree on the first two pairs, nobody on the others: for the first folder 7 answers of 10,
    # for the second 2, no difference 1.
    assert found.agreement == 0.5
    chance = 0.7**2 + 0.2**2 + 0.1**2
    assert found.kappa == pytest.approx((0.5 - chance) / (1 - chance))
    assert found.interval == wilson(0.75, 4)
    assert outcome("text", read_answers(names, KEY), KEY) is None


def test_what_is_no_answer_to_this_page_is_refused(tmp_path):
    good = write(tmp_path, "ann", ["left"])
    for more, said in (
        ({"pairing": "0" * 64}, r"answers another page .*\(00000000, not ffffffff\)"),
        ({"answers": []}, "has no answer"),
        ({"answers": [{"pair": 4, "realism": "left"}]}, "a pair that the page has not"),
        ({"answers": [{"pair": True, "realism": "left"}]}, "a pair that the page has not"),
        ({"answers": [{"pair": 0, "realism": "up"}]}, "answers pair 1 with 'up'"),
        ({"answers": [{"pair": 0, "text": "tie"}] * 2}, "or twice"),
        ({"answers": None}, "is damaged"),
        ({"kind": "another"}, "is not of `babeldraw rate`"),
    ):
        with pytest.raises(UserError, match=said):
            read_answers([good, write(tmp_path, "bob", [], **more)], KEY)
    other = tmp_path / "again.json"
    other.write_bytes(pathlib.Path(good).read_bytes())
    with pytest.raises(UserError, match="are both of the rater 'ann'"):
        read_answers([good, str(other)], KEY)
    other.write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        read_answers([str(other)], KEY)
    with pytest.raises(UserError, match="cannot be read"):
        read_key(str(tmp_path / "key.json"))
    with pytest.raises(UserError, match="is no key of a page"):
        read_key(good)
