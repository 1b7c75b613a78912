"""Contract: prompts stand under their pictures, which are enlarged by whole numbers."""

import numpy as np
from PIL import Image

from babeldraw.training.watching.captioned import LEAST_WIDTH, captioned_sheet, write_captioned

RNG = np.random.default_rng(0)


def pictures(*shape, side=16):
    return RNG.integers(0, 255, (*shape, side, side, 3), np.uint8)


def ink(part):
    """Dark pixels on white."""
    return int((part.min(axis=-1) < 100).sum())


def test_small_pictures_are_enlarged_and_have_their_prompt_below():
    images = pictures(2, 1, 3)
    sheet = captioned_sheet(images, ["a cook", "a pilot with a red hat"])
    side, line = 128, 2
    width, height = 3 * (side + line) + line, side + 2 * line
    assert sheet.shape[1] == width and sheet.shape[0] % 2 == 0
    block = sheet.shape[0] // 2
    for row in range(2):
        for column in range(3):
            top, left = row * block + line, column * (side + line) + line
            found = sheet[top : top + side : 8, left : left + side : 8]
            np.testing.assert_array_equal(found, images[row, 0, column])
    below = [sheet[row * block + height : (row + 1) * block] for row in range(2)]
    assert 0 < ink(below[0]) < ink(below[1])


def test_large_pictures_stay_as_they_are():
    images = pictures(1, 1, 1, side=300)
    sheet = captioned_sheet(images, ["a cook"])
    np.testing.assert_array_equal(sheet[1:301, 1:301], images[0, 0, 0])
    assert sheet.shape[1] == 302


def test_several_prompts_side_by_side_and_their_pictures_above_each_other():
    images = pictures(5, 2, 1)
    sheet = captioned_sheet(images, [f"prompt {number}" for number in range(5)], columns=2)
    width, height = 132, 2 * 130 + 2
    assert sheet.shape[1] == 2 * width
    rows = sheet.shape[0] // 3
    np.testing.assert_array_equal(sheet[2:130:8, width + 2 : width + 130 : 8], images[1, 0, 0])
    second = sheet[rows + 132 : rows + 260 : 8, 2:130:8]
    np.testing.assert_array_equal(second, images[2, 1, 0])
    assert ink(sheet[rows + height : 2 * rows, :width]) > 0
    assert ink(sheet[2 * rows + height :, width:]) == 0  # there is no sixth


def test_long_prompts_are_wrapped_and_cut():
    image = pictures(1, 1, 1)
    heights = [
        captioned_sheet(image, [text]).shape[0]
        for text in ("short", "words " * 12, "words " * 500, "w" * 4000)
    ]
    assert heights[0] < heights[1] < heights[2] == heights[3]
    assert captioned_sheet(image, ["short"]).shape[1] == LEAST_WIDTH


def test_it_is_written(tmp_path):
    images = pictures(1, 1, 2)
    path = tmp_path / "new" / "grid.png"
    write_captioned(path, images, ["un café \N{RED APPLE} تفاحة"], said={"seed": "7"})
    with Image.open(path) as written:
        assert written.text == {"seed": "7"}
        expected = captioned_sheet(images, ["un café \N{RED APPLE} تفاحة"])
        np.testing.assert_array_equal(np.asarray(written), expected)
