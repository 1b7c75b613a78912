"""Near-duplicates by a perceptual hash.

The hash is the 64-bit difference hash: the picture as 9 x 8 greys, and a bit a pair of neighbours
in a row, set where the right one is brighter. As pictures with much plain ground share many of
these bits, two pictures must also be alike in the colours of the 9 x 8.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt8
from PIL import Image

MAX_BITS = 3
"""Hashes that differ in more bits are of different pictures."""

MAX_COLOUR = 6.0
"""So are mean absolute differences of the 9 x 8 colours above this, of 255."""

_BLOCK = 512  # rows compared at a time


class Looks:
    """What pictures look like, in about 560 bytes each."""

    def __init__(self) -> None:
        self._hashes: list[int] = []
        self._colours: list[np.ndarray] = []

    def add(self, image: UInt8[np.ndarray, "height width 3"]) -> None:
        """Takes in a picture."""
        small = Image.fromarray(image).resize((9, 8), Image.Resampling.BOX)
        self._hashes.append(difference_hash(np.asarray(small)))
        self._colours.append(np.asarray(small).reshape(-1))

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Pairs of near-duplicates, by their order of `add`. One may come more than once."""
        if len(self._hashes) < 2:
            return
        hashes, colours = np.array(self._hashes, np.uint64), np.stack(self._colours)
        for first, second in _candidates(hashes):
            difference = np.abs(colours[first].astype(np.int16) - colours[second])
            near = difference.mean(1) <= MAX_COLOUR
            yield from zip(first[near].tolist(), second[near].tolist(), strict=True)

    def groups(self) -> list[list[int]]:
        """Pictures that are linked by near-duplicates, by their order of `add`, in groups."""
        count = len(self._hashes)
        parent = np.arange(count)

        def root(index: int) -> int:
            while parent[index] != index:
                parent[index] = parent[parent[index]]
                index = parent[index]
            return int(index)

        for pair in self.pairs():
            a, b = sorted(map(root, pair))
            parent[b] = a
        members: dict[int, list[int]] = {}
        for index in range(count):
            members.setdefault(root(index), []).append(index)
        return [group for group in members.values() if len(group) > 1]


def difference_hash(small: UInt8[np.ndarray, "8 9 3"]) -> int:
    """64 bits of a picture that is 9 x 8."""
    grey = small.astype(np.int32) @ [299, 587, 114]  # ITU-R BT.601, in thousandths
    bits = (grey[:, 1:] > grey[:, :-1]).reshape(-1)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _candidates(hashes: np.ndarray) -> "list[tuple[np.ndarray, np.ndarray]]":
    """Pairs of indices whose hashes differ in `MAX_BITS` bits or fewer.

    Such hashes agree in at least one of MAX_BITS + 1 parts: only those that share a part are
    compared. A pair may come more than once.
    """
    width = 64 // (MAX_BITS + 1)
    found = []
    for part in range(MAX_BITS + 1):
        keys = (hashes >> np.uint64(part * width)) & np.uint64(2**width - 1)
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(keys[order]) != 0])
        for bucket in np.split(order, starts[1:]):
            for start in range(0, len(bucket), _BLOCK) if len(bucket) > 1 else ():
                rows = bucket[start : start + _BLOCK]
                bits = np.bitwise_count(hashes[rows][:, None] ^ hashes[bucket][None, :])
                first, second = np.nonzero(bits <= MAX_BITS)
                later = rows[first] < bucket[second]
                found.append((rows[first][later], bucket[second][later]))
    return found
