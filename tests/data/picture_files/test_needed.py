"""Contract: a JPEG that is larger than needed is decoded smaller, for training and evaluation
alike, and looks the same to less than a level on average.
"""

import io

import numpy as np
import pytest
import skimage.data
from PIL import Image

from babeldraw.data import raw, tasks
from babeldraw.data.picture_files.framing import frame
from babeldraw.data.picture_files.images import decode_image, read_framed, read_image
from babeldraw.data.picture_files.view import Needed, View
from babeldraw.data.streams import pipeline
from tests.data import made_pictures


def jpeg(array, **settings):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "JPEG", quality=90, **settings)
    return file.getvalue()


def photograph():
    return skimage.data.coffee()  # 400 x 600


@pytest.mark.parametrize(
    ("size", "fit", "shape", "times"),
    [
        (256, "crop", (3000, 4000), 4),  # of 576 needed
        (256, "crop", (360, 480), 1),
        (64, "crop", (3000, 4000), 8),
        (64, "crop", (288, 400), 2),  # of 144
        (64, "crop", (287, 400), 1),
        (64, "stretch", (287, 4000), 1),
        (64, "pad", (100, 1024), 8),  # the whole is 6 high, and twice that is left
        ((32, 48), "crop", (144, 400), 1),  # on its side it is 400 high, and 108 wide are needed
        ((32, 48), "crop", (216, 400), 2),
    ],
)
def test_as_small_as_leaves_twice_what_is_seen(size, fit, shape, times):
    assert Needed.by(size, View(fit)).reduction(*shape) == times


def test_training_and_evaluation_need_the_same():
    assert Needed.by(64, View(zoom=1)) == Needed.by(64, View())
    assert Needed.by(64, View(zoom=1.5)).rows == 192


@pytest.mark.parametrize(("view", "times"), [(View(), 2), (View("pad"), 4), (View("stretch"), 2)])
def test_it_looks_the_same(view, times):
    data = jpeg(photograph())
    needed = Needed.by(64, view)
    whole, small = (decode_image(io.BytesIO(data), "a", needed=n) for n in (None, needed))
    assert whole.shape == (400, 600, 3)
    assert small.shape == (400 // times, 600 // times, 3)
    seen, as_before = (frame(image, 64, view).astype(int) for image in (small, whole))
    difference = np.abs(seen - as_before)
    assert 0 < difference.mean() < 0.7
    assert difference.max() < 20


def test_turned_as_exif_says_and_other_formats_stay(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = decode_image(io.BytesIO(jpeg(photograph(), exif=exif)), "a", needed=Needed.by(64))
    assert turned.shape == (300, 200, 3)
    Image.fromarray(photograph()).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", needed=Needed.by(8)), photograph())


def test_every_way_to_the_network_decodes_alike(tmp_path):
    files = {f"{number}.jpg": jpeg(np.roll(photograph(), number, 1)) for number in range(8)}
    name = made_pictures.write("folder", tmp_path / "set", files, {file: [file] for file in files})
    lengths = {"text": 8, "image": 64}
    dataset = pipeline.Dataset(name, lengths, "validation", captioned=False, shuffle=False)
    source = tasks.find_task(name, "validation", captioned=False).source
    names = [picture.name for picture in source.pictures("validation")]
    single = [read_framed(tmp_path / "set" / file, 64) for file in names]
    np.testing.assert_array_equal(dataset.examples()["image"], single)
    tokenized = raw.raw_examples(source, "validation", needed=Needed.by(64))
    for example, seen in zip(tokenized, single, strict=True):
        assert example.image.shape == (200, 300, 3)
        np.testing.assert_array_equal(raw.framed(example, 64, None), seen)
