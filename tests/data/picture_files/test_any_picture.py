"""Contract: colours come out as a viewer shows them, whatever stands beside the pixels."""

import io
import struct
import threading
import time
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from babeldraw.data.picture_files import images, openers
from babeldraw.data.picture_files.images import UnreadableImage, decode_image
from babeldraw.data.picture_files.pixel_budget import PixelBudget

SKIN, GREEN = (200, 120, 90), (60, 180, 90)
ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
"""XYZ of the primaries of Adobe RGB (1998), adapted to D50."""


def fixed(*values):
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def profile(space=b"RGB ", primaries=ADOBE, gamma=563 / 256):
    """An ICC profile of version 2.1, by ICC.1:2001-04."""
    white = (0.9642, 1.0, 0.8249)
    tags = {b"wtpt": b"XYZ \0\0\0\0" + fixed(*white)}
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        for name, xyz in zip("rgb", primaries, strict=True):
            tags[f"{name}XYZ".encode()] = b"XYZ \0\0\0\0" + fixed(*xyz)
            tags[f"{name}TRC".encode()] = curve
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        data += b"\0" * (-len(data) % 4)
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data
    head = struct.pack(">I4xI", start + len(body), 0x02100000) + b"mntr" + space + b"XYZ "
    head = head.ljust(36, b"\0") + b"acsp" + bytes(28) + fixed(*white)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def saved(image, format, **settings):
    file = io.BytesIO()
    image.save(file, format, **settings)
    return file.getvalue()


def two_colours(mode="RGB"):
    image = Image.new("RGB", (48, 32), GREEN)
    image.paste(SKIN, (0, 0, 24, 32))
    return image.convert(mode)


def read(data, **settings):
    return decode_image(io.BytesIO(data), "picture", **settings)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_a_profile_is_converted_to_srgb(format):
    settings = {} if format in ("PNG", "TIFF") else {"quality": 95}
    pixels = read(saved(two_colours(), format, icc_profile=profile(), **settings)).astype(int)
    # Adobe RGB (1998), 4.3: decode, multiply by the matrices of the primaries, encode by sRGB's.
    assert np.abs(pixels[16, 8] - [224, 121, 88]).max() <= (1 if not settings else 5)
    assert np.abs(pixels[16, 40] - [0, 181, 83]).max() <= (1 if not settings else 9)


def test_srgb_and_damaged_and_unfitting_profiles_change_nothing():
    plain = read(saved(two_colours(), "PNG"))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for given in (srgb, b"no profile", profile()[:200], profile(b"GRAY")):
        np.testing.assert_array_equal(read(saved(two_colours(), "PNG", icc_profile=given)), plain)
    assert read(saved(two_colours("CMYK"), "JPEG", icc_profile=profile())).shape == (32, 48, 3)


def test_profiles_of_greys_palettes_and_transparent_pictures():
    grey = saved(two_colours("L"), "PNG", icc_profile=profile(b"GRAY", gamma=1.0))
    linear = np.asarray(two_colours("L"))[16, 8] / 255  # IEC 61966-2-1: linear light to sRGB
    expected = 255 * (1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(read(grey)[16, 8] - expected).max() <= 1
    rgb_profile_of_greys = saved(two_colours("L"), "PNG", icc_profile=profile())
    assert np.ptp(read(rgb_profile_of_greys)[16, 8]) <= 1
    clear = two_colours("RGBA")
    clear.putalpha(Image.new("L", (48, 32), 255))
    clear.putpixel((0, 0), (0, 0, 0, 0))
    pixels = read(saved(clear, "PNG", icc_profile=profile()), background=(10, 200, 30))
    assert pixels[0, 0].tolist() == [10, 200, 30]
    assert np.abs(pixels[16, 8].astype(int) - [224, 121, 88]).max() <= 1
    palette = saved(two_colours().quantize(4), "PNG", icc_profile=profile())
    assert np.abs(read(palette)[16, 8].astype(int) - [224, 121, 88]).max() <= 1


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


BIG = zlib.compress(b"x" * 1_200_000)
METADATA = {
    "text": chunk(b"zTXt", b"Raw profile type xmp\0\0" + BIG),
    "international": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + BIG),
    "profile": chunk(b"iCCP", b"profile\0\0" + BIG),
    "damaged": chunk(b"zTXt", b"a\0\0no zlib")[:-1] + b"!",
}


@pytest.mark.parametrize("kind", METADATA)
@pytest.mark.parametrize("at_the_end", [False, True])
def test_metadata_of_a_png_is_no_reason_to_lose_its_pixels(kind, at_the_end):
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = saved(two_colours(), "PNG", exif=exif)
    place = len(whole) - 12 if at_the_end else 33  # before IEND, after IHDR
    found = read(whole[:place] + METADATA[kind] + whole[place:])
    np.testing.assert_array_equal(found, read(whole))
    assert found.shape == (48, 32, 3)  # upright as before


def test_a_large_profile_of_a_png_is_applied():
    padded = profile() + bytes(1_200_000)
    padded = struct.pack(">I", len(padded)) + padded[4:]
    whole = saved(two_colours(), "PNG")
    found = read(whole[:33] + chunk(b"iCCP", b"a\0\0" + zlib.compress(padded)) + whole[33:])
    assert np.abs(found[16, 8].astype(int) - [224, 121, 88]).max() <= 1
    _, unpacked = openers.without_metadata(
        whole[:33] + chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(2**25))) + whole[33:]
    )
    assert unpacked is None


def test_pixels_that_unpack_to_too_many_stay_refused_behind_large_metadata(monkeypatch):
    whole = saved(two_colours(), "PNG")
    monkeypatch.setattr(images, "MAX_PIXELS", 100)
    with pytest.raises(UnreadableImage) as refused:
        read(whole[:33] + METADATA["text"] + whole[33:])
    assert refused.value.kind == "too large"


def test_heic():
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    data = saved(two_colours(), "HEIF", quality=95)
    assert np.abs(read(data)[16, 8].astype(int) - SKIN).max() < 12
    with pytest.raises(UnreadableImage) as refused:
        read(data[: len(data) // 2])
    assert refused.value.kind == "damaged"


def test_heic_without_its_reader_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(openers, "can_read_heic", lambda: False)
    with pytest.raises(UnreadableImage, match=r"babeldraw\[pictures\]") as refused:
        read(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))
    assert refused.value.kind == images.NO_HEIF
    with pytest.raises(UnreadableImage) as refused:
        read(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(200))
    assert refused.value.kind == "not an image"


DRAWING = (
    '<svg xmlns="http://www.w3.org/2000/svg" {}><rect width="1" height="1" fill="red"/>{}</svg>'
)


@pytest.mark.parametrize("head", ["", '<?xml version="1.0"?>\n<!-- by hand -->', "\ufeff"])
def test_svg(head):
    data = head + DRAWING.format('viewBox="0 0 2 1"', "")
    pixels = read(data.encode(), background=(1, 2, 3))
    assert pixels.shape == (openers.SVG_SIDE // 2, openers.SVG_SIDE, 3)
    assert (pixels[9, 9] == [255, 0, 0]).all() and (pixels[9, -9] == [1, 2, 3]).all()


def test_an_svg_is_as_large_as_we_say_and_shows_no_other_file(tmp_path):
    huge = DRAWING.format('width="1e9" height="1e9"', "")
    assert read(huge.encode()).shape == (openers.SVG_SIDE, openers.SVG_SIDE, 3)
    secret = tmp_path / "secret.png"
    two_colours().save(secret)
    for name in ("href", "xlink:href"):
        link = f'<image {name}="{secret}" width="9" height="9"/>'
        data = DRAWING.format('xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 9 9"', link)
        assert (read(data.encode())[-9:, -9:] == 255).all()


@pytest.mark.parametrize("data", [b"<svg", b"<svg xmlns='x'/>", b"<svg>&a;</svg>"])
def test_damaged_svg(data):
    with pytest.raises(UnreadableImage) as refused:
        read(data)
    assert refused.value.kind == "damaged"


def chain(count):
    """Parts that refer to each other."""
    uses = (f'<g id="g{i}"><use href="#g{i + 1}"/></g>' for i in range(count))
    masks = (
        f'<mask id="m{i}"><rect width="9" height="9" fill="#fff" class="c{i}"/></mask>'
        f"<style>.c{i} {{ mask: url(#m{i + 1}) }}</style>"
        for i in range(count)
    )
    return {
        "elements": "<g>" * count + "</g>" * count,
        "uses": "".join(uses),
        "styles": "".join(masks) + '<rect width="9" height="9" mask="url(#m0)"/>',
    }


@pytest.mark.parametrize("kind", ["elements", "uses", "styles"])
def test_a_deep_svg_is_refused_before_the_stack_overflows(kind):
    for count, good in ((20, True), (500, False)):
        data = DRAWING.format('viewBox="0 0 9 9"', chain(count)[kind]).encode()
        if good:
            assert read(data).shape[-1] == 3
        else:
            with pytest.raises(UnreadableImage, match="more than 100 deep"):
                read(data)
    with pytest.raises(UnreadableImage, match="more than 100 deep"):
        read(DRAWING.format('viewBox="0 0 9 9" id="a"', '<use href="#a"/>').encode())
    style = "<style>rect { fill: url(#a) }</style>"
    filled = style + '<linearGradient id="a"><stop stop-color="#a"/></linearGradient>'
    assert read(DRAWING.format('viewBox="0 0 9 9"', filled).encode()).shape[-1] == 3


@pytest.mark.parametrize("head", [b"<!---->", b" ", b"<?a?>", b"<!DOCTYPE a [ ]>", b"<!--"])
def test_what_no_drawing_begins_with_is_told_at_once(head):
    began = time.perf_counter()
    assert not openers.is_svg(head * 4096)
    assert openers.is_svg(head * 3 + b"<svg>") != (head == b"<!--")
    assert time.perf_counter() - began < 1


def test_threads_together_decode_a_bounded_number_of_pixels():
    budget, running, most = PixelBudget(10), [], []

    def decode(pixels):
        with budget.taken(pixels):
            running.append(pixels)
            most.append(sum(running))
            time.sleep(0.01)
            running.remove(pixels)

    threads = [threading.Thread(target=decode, args=(size,)) for size in (4, 5, 6, 4, 12, 3, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 7 and max(most) == 12 and sum(size > 10 for size in most) == 1
