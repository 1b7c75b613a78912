"""Contract: any file gives RGB or says why not; a folder of them never stops half-way."""

import io
import os
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from babeldraw.data.picture_files import images
from babeldraw.data.picture_files.framing import frame
from babeldraw.data.picture_files.images import ImageFolder, UnreadableImage, read_image

WIDTH, HEIGHT = 12, 8
EXAMPLES = 150
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")


def ramp(height=HEIGHT, width=WIDTH):
    """Red grows down, green grows to the right: smooth, and no symmetry of the square keeps it."""
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    values = np.stack([200 * rows / height, 200 * columns / width, 50 + 0 * rows], -1)
    return values.astype(np.uint8)


def encoded(image, format, **settings):
    buffer = io.BytesIO()
    image.save(buffer, format=format, **settings)
    return buffer.getvalue()


@pytest.fixture
def read(tmp_path):
    def read(data, **settings):
        (tmp_path / "picture").write_bytes(data)
        return read_image(tmp_path / "picture", **settings)

    return read


@pytest.mark.parametrize("format", FORMATS)
def test_every_format(read, format):
    image = read(encoded(Image.fromarray(ramp()), format))
    assert image.shape == (HEIGHT, WIDTH, 3) and image.dtype == np.uint8
    assert np.abs(image.astype(int) - ramp()).mean() < 15


@pytest.mark.parametrize("mode", ["1", "L"])
def test_greys(read, mode):
    image = read(encoded(Image.fromarray(ramp()[..., 0]).convert(mode), "PNG"))
    expected = np.asarray(Image.fromarray(ramp()[..., 0]).convert(mode).convert("L"))
    np.testing.assert_array_equal(image, np.repeat(expected[..., None], 3, -1))


@pytest.mark.parametrize(("format", "scale"), [("PNG", 257), ("TIFF", 257), ("PPM", 257)])
def test_sixteen_bit_greys_keep_their_brightness(read, format, scale):
    grey = ramp()[..., 0]
    image = read(encoded(Image.fromarray(grey.astype(np.uint16) * scale), format))
    np.testing.assert_array_equal(image, np.repeat(grey[..., None], 3, -1))


def test_palette(read):
    paletted = Image.fromarray(ramp()).quantize(16)
    np.testing.assert_array_equal(read(encoded(paletted, "PNG")), paletted.convert("RGB"))


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_transparency_shows_the_background(read, format):
    alpha = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    alpha[:, 6:] = 255
    alpha[:, 5] = 128
    data = encoded(Image.fromarray(np.concatenate([0 * ramp(), alpha], -1)), format, lossless=True)
    for background in [(255, 255, 255), (10, 200, 30)]:
        image = read(data, background=background)
        assert (image[:, :5] == background).all() and (image[:, 6:] == 0).all()
        np.testing.assert_allclose(image[:, 5], np.tile(background, (HEIGHT, 1)) / 2, atol=2)
    assert (read(data)[:, :5] == 255).all()  # white unless said


def test_transparent_colours_of_palettes_and_greys(read):
    for mode in ("P", "L", "RGB"):
        dark = Image.new(mode, (4, 4))
        transparent = (0, 0, 0) if mode == "RGB" else 0
        assert (read(encoded(dark, "PNG", transparency=transparent)) == 255).all(), mode
    with_alpha = Image.new("LA", (4, 4), (0, 0))
    assert (read(encoded(with_alpha, "PNG")) == 255).all()


def test_cmyk(read):
    image = read(encoded(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG", quality=95))
    assert np.abs(image.astype(int) - [0, 255, 255]).max() < 12


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_of_an_animation(read, format):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    image = read(encoded(frames[0], format, save_all=True, append_images=frames[1:]))
    assert np.abs(image.astype(int) - [255, 0, 0]).max() < 30


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "TIFF", "PNG", "WEBP"])
def test_exif_orientation(read, format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    # What a camera held in that way stores, by the EXIF specification's table (CIPA DC-008).
    upright = ramp()
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright),
        7: upright.swapaxes(0, 1)[::-1, ::-1],
        8: np.rot90(upright, -1),
    }[orientation]
    image = read(encoded(Image.fromarray(np.ascontiguousarray(stored)), format, exif=exif))
    assert image.shape == upright.shape
    assert np.abs(image.astype(int) - upright).mean() < 15


def test_damaged_exif_leaves_the_picture(read):
    broken = b"Exif\x00\x00MM\x00*\xff\xff\xff\xff"
    assert read(encoded(Image.fromarray(ramp()), "JPEG", exif=broken)).shape == (HEIGHT, WIDTH, 3)


def kind_of(path):
    with pytest.raises(UnreadableImage) as refused:
        read_image(path)
    assert "\n" not in str(refused.value) and str(path) in str(refused.value)
    return refused.value.kind


def test_kinds_of_unreadable_files(tmp_path, monkeypatch):
    path = tmp_path / "file"
    assert kind_of(path) == "unreadable file"
    assert kind_of(tmp_path) == "unreadable file"
    path.write_bytes(b"")
    assert kind_of(path) == "empty"
    path.write_text("a caption")
    assert kind_of(path) == "not an image"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
    assert kind_of(path) == "not an image"  # never given to Ghostscript
    path.write_bytes(encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"))
    assert kind_of(path) == "unsupported"
    path.write_bytes(encoded(Image.fromarray(np.full((4, 4), 70_000, np.int32)), "TIFF"))
    assert kind_of(path) == "unsupported"
    path.write_bytes(encoded(Image.fromarray(ramp()), "PNG"))
    monkeypatch.setattr(images, "MAX_PIXELS", HEIGHT * WIDTH - 1)
    assert kind_of(path) == "too large"
    monkeypatch.setattr(images, "MAX_PIXELS", HEIGHT * WIDTH)
    assert read_image(path).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("side", [10_001, 50_000])
def test_decompression_bombs_are_not_unpacked(tmp_path, side):
    path = tmp_path / "bomb.png"
    data = bytearray(encoded(Image.new("1", (8, 8)), "PNG"))
    data[16:24] = side.to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(data)
    assert kind_of(path) == "too large"


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    format=st.sampled_from(FORMATS),
    share=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=4),
)
@example(format="PNG", share=0.7, flips=[])
def test_no_truncation_or_damage_gets_anything_else_out(tmp_path, format, share, flips):
    data = bytearray(encoded(Image.fromarray(ramp()), format))
    data = data[: round(share * len(data))]
    for place, change in flips:
        if data:
            data[round(place * (len(data) - 1))] ^= change
    _reads_or_refuses(tmp_path, bytes(data))


MAGIC = (b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"P6 9 9 255 ")


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(MAGIC), st.binary(max_size=300))
def test_random_bytes_get_nothing_else_out(tmp_path, magic, data):
    _reads_or_refuses(tmp_path, magic + data)


def _reads_or_refuses(folder, data):
    path = folder / "picture"
    path.write_bytes(data)
    try:
        image = read_image(path)
    except UnreadableImage as refused:
        assert refused.path == str(path)
    else:
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3


def test_truncated_files_are_damaged(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for format in ("JPEG", "PNG", "WEBP", "BMP"):
        data = encoded(Image.fromarray(noise), format)
        (tmp_path / format).write_bytes(data[: len(data) // 2])
        assert kind_of(tmp_path / format) == "damaged"


@pytest.fixture
def folder(tmp_path):
    """Two good pictures, one at each level, among everything that can be wrong."""
    outside, root = tmp_path / "outside", tmp_path / "folder"
    (root / "b" / "deep").mkdir(parents=True)
    outside.mkdir()
    picture = encoded(Image.fromarray(ramp(40, 30)), "PNG")
    for path in (root / "z.png", root / "b" / "deep" / "a.jpeg", outside / "secret.png"):
        path.write_bytes(picture)
    (root / "inside.png").symlink_to(root / "z.png")
    (root / "out.png").symlink_to(outside / "secret.png")
    (root / "circle").symlink_to(root)
    (root / "away").symlink_to(outside)
    (root / "dangling").symlink_to(root / "nothing")
    (root / "b" / "empty.png").touch()
    (root / "b" / "cut.png").write_bytes(picture[:60])
    (root / "notes.txt").write_text("hello")
    os.mkfifo(root / "pipe")
    return root


def test_a_folder_yields_what_is_readable_and_counts_the_rest(folder):
    pictures = ImageFolder(folder, 16)
    found = dict(pictures)
    assert list(found) == ["b/deep/a.jpeg", "inside.png", "z.png"]
    expected = frame(ramp(40, 30), 16)
    for image in found.values():
        np.testing.assert_array_equal(image, expected)
    assert len(pictures) == 6
    skipped = {
        "link": ["away", "circle", "dangling", "out.png"],
        "not a file": ["pipe"],
        "damaged": ["b/cut.png"],
        "empty": ["b/empty.png"],
        "not an image": ["notes.txt"],
    }
    assert pictures.skipped == skipped
    assert len(list(pictures)) == 3 and pictures.skipped == skipped  # not counted twice


def test_files_that_go_away_while_reading_are_skipped(folder):
    pictures = ImageFolder(folder, 16)
    (folder / "z.png").unlink()
    assert [name for name, _ in pictures] == ["b/deep/a.jpeg"]
    assert pictures.skipped["unreadable file"] == ["inside.png", "z.png"]


def test_not_a_folder(tmp_path):
    with pytest.raises(images.UserError, match="is not a folder"):
        ImageFolder(tmp_path / "nowhere", 16)
