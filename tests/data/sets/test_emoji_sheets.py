"""The set on disk."""

import numpy as np
import pytest

from babeldraw.data.sets import emoji_sheets as sheets
from babeldraw.data.sets.emoji_grid import STYLES, Cell
from babeldraw.errors import UserError


@pytest.fixture(scope="module")
def shipped():
    cells = sheets.read_cells(sheets.SHIPPED)
    return cells, sheets.read_images(sheets.SHIPPED, 32, cells)


def cell(style, concept, **kwargs):
    return Cell(style, concept, "a, b", "“c”", "", -1, -1, 0, "objects", "train", **kwargs)


def test_round_trip_over_several_sheets(tmp_path, monkeypatch):
    monkeypatch.setattr(sheets, "SHEET_SIDE", 20)  # 2 x 2 pictures of 8 px a sheet
    images = np.random.default_rng(0).integers(0, 256, (15, 8, 8, 3), np.uint8)
    cells = [cell(style, str(k), duplicate_of="x") for style in STYLES for k in range(5)]
    for index, style in enumerate(STYLES):
        sheets.write_images(tmp_path, style, images[5 * index : 5 * index + 5])
    sheets.write_cells(tmp_path, cells)
    assert sheets.read_cells(tmp_path) == cells
    np.testing.assert_array_equal(sheets.read_images(tmp_path, 8, cells), images)
    (tmp_path / "noto_8_01.webp").unlink()
    with pytest.raises(UserError, match="noto_8_01"):
        sheets.read_images(tmp_path, 8, cells)


def test_duplicates_are_exactly_the_equal_pictures(shipped):
    cells, images = shipped
    first = {}
    for entry, image in zip(cells, images, strict=True):
        name = f"{entry.style}/{entry.concept}"
        assert entry.duplicate_of == (
            "" if (o := first.setdefault(image.tobytes(), name)) == name else o
        )
    assert any(entry.role == "astronaut" and entry.duplicate_of for entry in cells)


def test_pictures_are_on_white_and_not_blank(shipped):
    _, images = shipped
    assert images.shape == (9417, 32, 32, 3)
    assert (images.min((1, 2, 3)) < 240).all()
    corners = images[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners == 255).all(-1).mean() > 0.8


def test_shipped_assets_are_small():
    assert sum(path.stat().st_size for path in sheets.SHIPPED.iterdir()) < 12e6


def test_unbuilt_size_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("BABELDRAW_CACHE_DIR", str(tmp_path))
    with pytest.raises(UserError, match="babeldraw data build emoji --size 64"):
        sheets.find_folder(64)
