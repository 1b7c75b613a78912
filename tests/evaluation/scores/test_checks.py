"""Contract: shares by attribute, with intervals; what is left out is counted, nonsense refused."""

import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.evaluation.checks.world import shown, world
from babeldraw.evaluation.scores.base import Pictures
from babeldraw.evaluation.scores.checks import EmojiChecks


@pytest.fixture(scope="module")
def known():
    return world("quickstart")


@pytest.fixture(scope="module")
def rows(known):
    return np.flatnonzero(~known.is_training)


@pytest.fixture(scope="module")
def score(known, rows):
    return EmojiChecks({known.cells[row].caption: shown(known.cells[row]) for row in rows})


def scored(score, known, rows, prompts=None):
    texts = [known.cells[row].caption for row in (rows if prompts is None else prompts)]
    return score.of(Pictures(known.images[rows]), texts, None)


def test_the_real_ones(score, known, rows):
    found = scored(score, known, rows)
    assert {name: result.value for name, result in found.items()} == dict.fromkeys(
        ("concept", "style", "gender", "tone", "all"), 1.0
    )
    assert found["gender"].n == 70 and found["all"].n == 72
    assert "2 left out, whose real" in found["gender"].warnings[0]
    assert found["tone"].interval == pytest.approx((0.949, 1.0), abs=1e-3)
    assert score.settings["pictures"] == known.digest and score.settings["world"] == "quickstart"


def test_pictures_of_other_prompts(score, known, rows):
    found = scored(score, known, rows, np.roll(rows, 1))
    assert found["all"].value == 0
    assert 0 < found["tone"].value < 0.9


def test_pictures_of_one_prompt_are_no_further_draws(score, known, rows):
    once, twice = (scored(score, known, np.repeat(rows, count)) for count in (1, 2))
    assert twice["all"].n == 144 and twice["all"].interval == once["all"].interval
    assert twice["gender"].n == 140 and np.isnan(twice["gender"].per_picture).sum() == 4


def test_prompts_without_checks_are_counted(known, rows):
    given = {known.cells[row].caption: {"tone": "", **shown(known.cells[row])} for row in rows[:9]}
    found = scored(EmojiChecks(given), known, rows)
    assert found["all"].n == 9
    assert found["all"].warnings == ("63 of 72 left out, whose prompt has no checks.",)
    with pytest.raises(UserError, match="none of the pictures' prompts has checks"):
        scored(EmojiChecks(given), known, rows[20:])


@pytest.mark.parametrize(
    ("checks", "said"),
    [
        ({"tone": "drak", "concept": "farmer"}, "tone is 'drak'.*write such as 'dark'"),
        ({"concept": "firefihgter"}, "'firefihgter', which no emoji shows.*'firefighter'"),
        ({"colour": "red"}, "no check 'colour' of emoji; check some of concept, style"),
        ({"gender": "man"}, "gender stands without a concept"),
        ({"concept": "lipstick", "tone": "dark"}, "tone is of 'lipstick', which has no tone"),
        ({}, "no prompt says what its pictures have to show"),
    ],
)
def test_what_cannot_be_checked_is_refused(checks, said):
    with pytest.raises(UserError, match=said):
        EmojiChecks({"a farmer": checks})
