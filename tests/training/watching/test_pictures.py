import numpy as np
from PIL import Image

from babeldraw.training.watching.pictures import make_grid, write_grid


def test_small_pictures_are_enlarged_pixel_by_pixel(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32, 3), dtype=np.uint8)
    write_grid(tmp_path / "new" / "sheet.png", images)
    sheet = np.asarray(Image.open(tmp_path / "new" / "sheet.png"))
    assert sheet.shape == (2 * 98 + 2, 3 * 98 + 2, 3)  # Factor 3 and lines of 2 pixels.
    tile = sheet[98 + 2 : 98 + 98, 2 * 98 + 2 : 2 * 98 + 98]
    np.testing.assert_array_equal(tile[::3, ::3], images[1, 2])
    np.testing.assert_array_equal(tile[2::3, 1::3], images[1, 2])
    assert (sheet[:2] == 200).all() and (sheet[98:100] == 200).all()
    assert (sheet[:, -2:] == 200).all()


def test_large_pictures_keep_their_pixels():
    images = np.full((1, 1, 128, 256, 3), 7, np.uint8)
    sheet = make_grid(images)
    assert sheet.shape == (130, 258, 3)
    assert (sheet[1:-1, 1:-1] == 7).all()
