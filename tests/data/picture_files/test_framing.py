"""Contract: a view means the same to every reader, and squares are the bits that they were."""

import hashlib

import numpy as np
import pytest
import tensorflow as tf

from babeldraw.cli.support import views
from babeldraw.data.picture_files import view as view_lib
from babeldraw.data.picture_files.framing import frame, frame_tensor, tell_sides_tensor
from babeldraw.data.picture_files.view import View, tells_sides
from babeldraw.errors import UserError

SHAPES = [(8, 8), (5, 300), (300, 5), (64, 65), (41, 40), (200, 97), (1, 1), (1, 90)]
FITS = ("crop", "pad", "stretch")


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def ramp(height, width):
    """Red tells the row, green the column."""
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    return np.stack([rows, columns, 0 * rows], -1).astype(np.uint8)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [40, (24, 40), (40, 9)])
def test_both_give_the_same_bits(fit, size):
    view = View(fit, "#10a0ff")
    for shape in SHAPES:
        image = noise(*shape)
        theirs = frame_tensor(tf.constant(image), size, view).numpy()
        np.testing.assert_array_equal(frame(image, size, view), theirs, str(shape))


def test_square_crops_are_the_bits_of_before_there_were_fits():
    digest = hashlib.sha256()
    for seed, shape in enumerate(SHAPES * 4):
        image = noise(*shape)
        digest.update(frame(image, 40).tobytes())
        digest.update(frame(image, 40, random=np.random.default_rng(seed)).tobytes())
        digest.update(frame_tensor(tf.constant(image), 40, seed=tf.constant([seed, 1])).numpy())
    assert digest.hexdigest() == "094c7e4199232dca07c468f66739cdb57d5bb283b727c1ff5f991665f6e0938f"


def test_a_crop_of_a_rectangle_is_its_largest_part_of_that_shape():
    np.testing.assert_array_equal(frame(ramp(40, 90), (40, 60)), ramp(40, 90)[:, 15:75])
    np.testing.assert_array_equal(frame(ramp(90, 40), (20, 40)), ramp(90, 40)[35:55])


def test_a_padded_picture_is_whole_and_in_the_middle():
    view = View("pad", "#0a141e")
    image = np.full((20, 40, 3), 200, np.uint8)
    square = frame(image, 40, view)
    assert (square[10:30] == 200).all()
    assert (square[:10] == (10, 20, 30)).all() and (square[30:] == (10, 20, 30)).all()
    np.testing.assert_array_equal(frame(ramp(30, 60), (30, 60), view), ramp(30, 60))
    assert frame(image, (40, 20), view)[:, 0].tolist().count([200, 200, 200]) == 10


def test_a_stretched_picture_is_whole():
    square = frame(ramp(64, 128), 32, View("stretch"))
    assert square[0, 0].tolist() == [0, 2, 0]  # means of 2 x 4, rounded to even
    assert square[-1, -1].tolist() == [62, 126, 0]


def drawn(image, view, size=64, count=60):
    return [frame(image, size, view, np.random.default_rng(seed)) for seed in range(count)]


def test_training_cuts_nothing_of_a_padded_picture():
    image = np.full((50, 100, 3), 200, np.uint8)
    squares = drawn(image, View("pad", "black", zoom=1.25))
    boxes = {tuple(np.ptp(np.argwhere(square[..., 0] > 100), axis=0) + 1) for square in squares}
    assert {height for height, _ in boxes} >= {26, 32} and max(boxes) == (32, 64)
    assert all(abs(height / width - 0.5) < 0.02 for height, width in boxes)
    tops = [np.argwhere(square[..., 0] > 100)[0, 0] for square in squares]
    assert min(tops) < 14 and max(tops) > 18  # of a margin of 32 to 38, near the middle


def test_zoom_is_how_much_is_cut_at_most():
    spans = [int(np.ptp(square[0, :, 1])) for square in drawn(ramp(200, 200), View(zoom=2.0))]
    assert min(spans) < 115 and max(spans) > 185


@pytest.mark.parametrize("fit", FITS)
def test_without_zoom_a_picture_is_always_seen_the_same(fit):
    image, view = ramp(120, 200), View(fit, zoom=1.0)
    squares = [*drawn(image, view, count=5), frame(image, 64, view)]
    tensor = tf.constant(image)
    squares += [frame_tensor(tensor, 64, view, tf.constant([7, n])).numpy() for n in range(5)]
    assert len({square.tobytes() for square in squares}) == 1


def test_half_are_mirrored_and_nothing_else_changes():
    plain = drawn(ramp(100, 120), View())
    mirrored = drawn(ramp(100, 120), View(flip=True))
    pairs = zip(plain, mirrored, strict=True)
    same = [(a == b).all() for a, b in pairs if (a == b).all() or (a == b[:, ::-1]).all()]
    assert len(same) == 60 and 15 < sum(same) < 45
    assert (frame(ramp(100, 120), 64, View(flip=True)) == frame(ramp(100, 120), 64)).all()
    source, view = tf.constant(ramp(100, 120)), View(flip=True)
    look = tf.function(lambda seed, may: frame_tensor(source, 64, view, seed, may_flip=may))
    for may_flip in (True, False):
        seeds = [tf.constant([seed, 0]) for seed in range(30)]
        falls = [np.diff(look(seed, may_flip).numpy()[0, :, 1].astype(int)).max() for seed in seeds]
        assert (5 < sum(fall <= 0 for fall in falls) < 25) == may_flip
    image = ramp(100, 120)
    for seed in range(20):
        square = frame(image, 64, view, np.random.default_rng(seed), may_flip=False)
        assert (square == plain[seed]).all()


@pytest.mark.parametrize(
    ("captions", "told"),
    [
        (["a dog left of a cat"], True),
        (["a dog", "Its RIGHT paw"], True),
        (["the\nleftmost"], True),
        (["un chien à gauche"], True),
        (["a bright, alright copyright"], False),
        ([], False),
    ],
)
def test_captions_that_tell_left_from_right(captions, told):
    texts = [caption.encode() for caption in captions]
    assert tells_sides(texts) == told
    assert bool(tell_sides_tensor(tf.constant(texts, tf.string))) == told


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fit": "squash"}, "FIT is 'squash': set it to crop, pad, stretch"),
        ({"background": "nocolour"}, "BACKGROUND is 'nocolour': set it to a colour, such as white"),
        ({"background": "#12"}, "set it to a colour"),
        ({"zoom": 0.5}, "ZOOM is 0.5"),
    ],
)
def test_what_is_no_view_is_a_sentence(settings, message):
    with pytest.raises(UserError, match=message):
        View(**settings)


def test_the_command_line_knows_every_fit():
    assert view_lib.get_args(view_lib.Fit) == views.FITS
