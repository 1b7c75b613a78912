"""Contract: floors and ceilings are the same scores of pictures that no model has drawn."""

import numpy as np

from babeldraw.errors import UserError
from babeldraw.evaluation.scores.base import Pictures, mean_result
from babeldraw.evaluation.suites.bounds import Training, bounds_of, halves, retrieved
from babeldraw.evaluation.suites.entries import Entry, make_suite

SUITE = make_suite(
    "s", [Entry(f"e{n}", f"a {word} cook") for n, word in enumerate(["red", "blue"])]
)
CAPTIONS = ["a dog", "a cook, blue", "the red red cook", "a cook"]


def images(values):
    return np.array(values, np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)


class Sees:
    """Remembers what it is shown."""

    name, settings = "sees", {}

    def __init__(self):
        self.seen = []

    def of(self, pictures, texts, references):
        if references is None:
            raise UserError("It needs real pictures: give some.")
        values = [int(picture[0, 0, 0]) for picture in pictures]
        self.seen.append((values, list(texts), [int(real[0, 0, 0]) for real in references]))
        return {"mean": mean_result(np.array(values, float))}


def test_the_caption_with_most_of_the_words_is_retrieved():
    """Words that every caption has weigh nothing, rare ones more."""
    assert retrieved([each.prompt for each in SUITE.entries], CAPTIONS) == [2, 1]
    assert retrieved(["something else"], CAPTIONS) == [0]


def test_halves_are_of_real_pictures_and_do_not_meet():
    suite = make_suite("s", [Entry(f"e{n}", "x") for n in range(9)])
    first, second = halves(suite, range(9))
    assert sorted(first + second) == list(range(9)) and len(first) == 5


def test_all_three_are_scored_as_drawn_pictures_are():
    score, own = Sees(), Pictures(images([50, 60]))
    training = Training(CAPTIONS, images([0, 1, 2, 3]))
    found = bounds_of(SUITE, [score], (own, [0, 1]), own, training)
    assert list(found) == ["real halves", "retrieved", "random"]
    (half, texts, others), nearest, random = score.seen
    assert {half[0], others[0]} == {50, 60} and len(half) == len(others) == 1
    assert texts == [SUITE.entries[half[0] == 60].prompt]
    assert nearest == ([2, 1], ["a red cook", "a blue cook"], [50, 60])
    assert set(random[0]) <= {0, 1, 2, 3} and random[2] == [50, 60]
    assert found["retrieved"].results["sees"]["mean"].value == 1.5 and found["retrieved"].n == 2


def test_what_cannot_be_scored_is_said():
    found = bounds_of(SUITE, [Sees()], (None, []), None, Training(CAPTIONS, images([0, 1, 2, 3])))
    assert list(found) == ["retrieved", "random"] and found["random"].results == {}
    assert found["random"].what.endswith("Not by sees: It needs real pictures: give some.")
