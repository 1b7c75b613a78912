import numpy as np
from PIL import Image

from docs import screenshots


def test_what_is_empty_below_a_page_is_cut_off(tmp_path):
    pixels = np.full((400, 30, 3), 250, np.uint8)
    pixels[10:20, 5:9] = (200, 30, 30)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    screenshots.crop(tmp_path / "a.png", 5)
    found = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    np.testing.assert_array_equal(found, pixels[5:60])
