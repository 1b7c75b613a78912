"""Contract: a fit is recommended by what a crop would cut, and the reason is a sentence."""

import numpy as np
import pytest

from babeldraw.data.picture_files.content import Content, measure, recommended_fit

WHITE = (255, 255, 255)


def thing(height, width, box, colour=(200, 0, 0), ground=WHITE):
    image = np.full((height, width, 3), ground, np.uint8)
    top, left, bottom, right = box
    image[top:bottom, left:right] = colour
    return image


def test_content_is_what_differs_from_the_ground():
    tall = measure(thing(80, 40, (0, 10, 80, 30)), "tall")
    assert tall.ground == WHITE and tall.lost == 0.5 and tall.shown == 0.5
    middle = measure(thing(80, 40, (30, 10, 50, 30)), "middle")
    assert middle.ground == WHITE and middle.lost == 0
    for_tall = measure(thing(80, 40, (0, 10, 80, 30)), "tall", (64, 32))
    assert for_tall.lost == 0
    assert measure(np.full((9, 5, 3), 7, np.uint8), "empty") == Content("empty", (7, 7, 7), 0, 0)
    large = measure(thing(2000, 1000, (0, 250, 2000, 750)), "large")
    assert large.lost == pytest.approx(0.5, abs=0.02)


def test_a_photograph_fills_its_frame():
    photograph = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    found = measure(photograph, "photograph")
    assert found.ground is None and found.shown == 1 and found.lost == 0.25


def contents(*kinds):
    """Pictures of each (how many, ground, lost)."""
    return [Content("", ground, 0.5, lost) for many, ground, lost in kinds for _ in range(many)]


@pytest.mark.parametrize(
    ("found", "fit", "background", "reason"),
    [
        (
            [(96, WHITE, 0.02), (4, WHITE, 0.6)],
            "crop",
            "white",
            "10% of what all but 4 of 100 pictures show",
        ),
        ([(60, WHITE, 0.02), (40, WHITE, 0.3)], "pad", "white", "plain ground"),
        ([(60, (0, 0, 0), 0.0), (40, (2, 0, 0), 0.3)], "pad", "black", "what 40 of 100 pictures"),
        ([(9, (16, 32, 255), 0.3)], "pad", "#1020ff", "plain ground"),
        ([(5, WHITE, 0.3), (5, (0, 0, 0), 0.3)], "pad", "white", "plain ground"),
        ([(50, None, 0.25)], "crop", "white", "fill their frames"),
        ([(50, None, 0.44)], "pad", "white", "44% of it on average"),
        ([], "crop", "white", "at most 10% of what any shows"),
    ],
)
def test_recommended(found, fit, background, reason):
    advice = recommended_fit(contents(*found))
    assert (advice.fit, advice.background) == (fit, background)
    assert reason in advice.reason and "." not in advice.reason
