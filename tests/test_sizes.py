import json
from collections.abc import Mapping

import pytest

from babeldraw.ranges import Unfit, fit
from babeldraw.sizes import Size, from_sides, height_and_width, in_words


@pytest.mark.parametrize(
    ("given", "sides", "words"),
    [
        (32, (32, 32), "32 x 32 px"),
        ((32, 48), (32, 48), "32 px high and 48 px wide"),
        (1e1, (10, 10), "10 x 10 px"),
    ],
)
def test_a_size_is_a_side_or_height_and_width(given, sides, words):
    size = fit(given, Size)
    assert height_and_width(size) == sides and in_words(size) == words
    assert fit(json.loads(json.dumps(size)), Size) == size == from_sides(*sides)
    assert fit({"image": given}, Mapping[str, Size]) == {"image": size}


@pytest.mark.parametrize("given", [0, "32", True, None, (32,), (32, 48, 3), (32, 0), (32, "48")])
def test_anything_else_is_none(given):
    with pytest.raises(Unfit, match=r"pixels: a side, as 256, or height and width, as \(192, 256"):
        fit(given, Size)
