"""Contract: a drawing is right when the real picture that it is nearest to is one of its text."""

import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.evaluation.scores.base import Pictures
from babeldraw.evaluation.scores.nearest import Nearest, fits


def picture(level):
    return np.full((16, 16, 3), level, np.uint8)


def right(levels, texts, references, others=()):
    score = Nearest([text for text, _ in references], others)
    real = Pictures([image for _, image in references])
    return score.of(Pictures([picture(each) for each in levels]), texts, real)["right"]


REAL = [("a", picture(0)), ("b", picture(100))]


def test_the_nearest_decides():
    result = right([20, 20, 90, 40], ["a", "b", "b", "a"], REAL)
    assert result.per_picture.tolist() == [1, 0, 1, 1] and result.value == 0.75


def test_others_may_be_nearer():
    others = [("c", picture(30)), ("d", picture(100))]
    assert right([20], ["a"], REAL, others).value == 0
    # What looks just like one's own is one's own.
    assert right([90], ["d"], REAL, others).value == right([90], ["b"], REAL, others).value == 1


def test_without_their_texts_references_are_refused():
    with pytest.raises(UserError, match="looked for among references with texts"):
        Nearest(["a"]).of(Pictures([picture(0)]), ["a"], None)


def test_thumbnails_need_sides_of_sixteens():
    assert fits(32) and fits((48, 64)) and not fits((16, 20))
