"""Contract: scores are told apart by prompt, category and challenge; real pictures come framed."""

import numpy as np
import pytest
from PIL import Image

from babeldraw.data.picture_files.view import PLAIN
from babeldraw.errors import UserError
from babeldraw.evaluation.scores.base import Pictures, mean_result
from babeldraw.evaluation.suites.entries import Entry, make_suite
from babeldraw.evaluation.suites.scoring import (
    Shown,
    by_kind,
    by_prompt,
    folder_references,
    references_of,
    score_all,
)

ENTRIES = [Entry("a", "x", "one", "easy"), Entry("b", "y", "two", "easy"), Entry("c", "z")]
SUITE = make_suite("s", ENTRIES)
SHOWN = Shown(SUITE, Pictures(np.zeros((5, 2, 2, 3), np.uint8)), [0, 0, 1, 1, 2])


def test_a_prompt_has_the_mean_of_its_pictures():
    found = by_prompt(np.array([1, 2, np.nan, 4, np.nan]), SHOWN)
    np.testing.assert_array_equal(found, [1.5, 4, np.nan])


def test_categories_have_means_of_their_own():
    results = {"s": {"m": mean_result(np.arange(5.0))}}
    found = by_kind(results, SHOWN, "category")
    assert {name: each["s"]["m"].value for name, each in found.items()} == {"one": 0.5, "two": 2.5}
    assert by_kind(results, SHOWN, "challenge") == {}  # there is but one


def test_real_pictures_are_of_the_runs_size(tmp_path):
    for number in (1, 0):
        Image.fromarray(np.full((6, 9, 3), 50 * number, np.uint8)).save(tmp_path / f"{number}.png")
    suite = make_suite("s", [Entry("a", "x"), Entry("b", "y", reference=str(tmp_path / "1.png"))])
    pictures, entries = references_of(suite, (4, 4), PLAIN)
    assert entries == [1] and len(pictures) == 1 and pictures[0].shape == (4, 4, 3)
    assert references_of(SUITE, 4, PLAIN) == (None, [])
    folder = folder_references(str(tmp_path), 4, PLAIN)
    assert [int(each.mean()) for each in folder] == [0, 50]
    assert next(iter(folder.batches(2))).shape == (2, 4, 4, 3)


class Named:
    name, settings = "same", {}


def test_a_score_is_asked_for_once():
    with pytest.raises(UserError, match="the score 'same' is asked for twice"):
        score_all([Named(), Named()], SHOWN, None)
