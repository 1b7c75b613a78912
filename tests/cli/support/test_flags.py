"""Contract: what a flag says is a number of the type that is wanted."""

import pytest

from babeldraw.cli.support.flags import Numeric
from babeldraw.ranges import Count, Seed, Share, Weight


@pytest.mark.parametrize(
    ("kind", "text", "number"),
    [
        (Weight, "0", 0.0),
        (float, "1", 1.0),
        (Share, "1", 1.0),
        (Count, "1e3", 1000),
        (Seed, "0", 0),
    ],
)
def test_a_number_is_of_the_type_that_is_wanted(kind, text, number):
    found = Numeric(kind)(text)
    assert (found, type(found)) == (number, type(number))
