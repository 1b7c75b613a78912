"""Near-duplicates: what is found, what is told apart, and that buckets lose no pair."""

import io

import numpy as np
import pytest
from PIL import Image

from babeldraw.data import duplicates
from babeldraw.data.sets import emoji_sheets


def photo(seed, side=64):
    """Smooth noise, which looks like nothing else."""
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC))


def groups(images):
    looks = duplicates.Looks()
    for image in images:
        looks.add(image)
    return looks.groups()


def saved_as_jpeg(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=40)
    return np.asarray(Image.open(file))


def test_copies_at_another_size_and_quality_are_found():
    images = [photo(seed) for seed in range(30)]
    images += [photo(3, 200), saved_as_jpeg(photo(4)), photo(3, 31)]
    assert groups(images) == [[3, 30, 32], [4, 31]]


@pytest.mark.parametrize("count", [0, 1])
def test_too_few(count):
    assert groups([photo(0)] * count) == []


def test_plain_grounds_of_different_colours_differ():
    plain = [np.full((20, 20, 3), level, np.uint8) for level in (0, 40, 80, 82)]
    assert groups(plain) == [[2, 3]]


def test_hash_of_a_ramp_is_all_ones():
    ramp = np.tile(np.arange(9, dtype=np.uint8)[None, :, None] * 20, (8, 1, 3))
    assert duplicates.difference_hash(ramp) == 2**64 - 1
    assert duplicates.difference_hash(ramp[:, ::-1]) == 0


def test_candidates_are_those_of_a_comparison_of_all():
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, 700, np.uint64)
    for index in range(300, 700):  # 0 to 5 bits away from another
        flips = rng.choice(64, rng.integers(0, 6), replace=False)
        flip = sum(1 << int(bit) for bit in flips)
        hashes[index] = hashes[index - 300] ^ np.uint64(flip)
    bits = np.bitwise_count(hashes[:, None] ^ hashes[None, :])
    expected = {(a, b) for a, b in np.argwhere(bits <= duplicates.MAX_BITS).tolist() if a != b}
    found = {
        (int(a), int(b))
        for first, second in duplicates._candidates(hashes)
        for a, b in zip(first, second, strict=True)
    }
    assert {tuple(sorted(pair)) for pair in found} == {tuple(sorted(pair)) for pair in expected}


def test_few_different_emoji_are_called_copies():
    cells = emoji_sheets.read_cells(emoji_sheets.SHIPPED)
    images = emoji_sheets.read_images(emoji_sheets.SHIPPED, 32, cells)
    faces = [i for i, cell in enumerate(cells) if cell.style == "noto" and not cell.role][:400]
    found = groups([images[index] for index in faces])
    copies = sum(len(group) - 1 for group in found)
    assert copies < 0.06 * len(faces)  # 17: people whose skin is hardly seen, and three keycaps
