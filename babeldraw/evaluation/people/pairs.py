"""Pairs of pictures of one prompt from two folders, in an order and on sides drawn by a seed."""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from babeldraw import files
from babeldraw.data.picture_files.images import read_image
from babeldraw.errors import UserError
from babeldraw.evaluation.scores.base import SUFFIXES, Picture

KEY = "key.json"
KIND = "babeldraw rate"


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two pictures of one prompt.

    Attributes:
      pictures: of the first folder and of the second.
      swapped: whether the first folder's is shown on the right.
    """

    prompt: str
    pictures: tuple[Picture, Picture]
    swapped: bool


@dataclasses.dataclass(frozen=True)
class Pairing:
    """What raters are shown.

    Attributes:
      names: of the two folders.
      notes: what is left out, a sentence each.
    """

    names: tuple[str, str]
    pairs: Sequence[Pair]
    seed: int
    notes: Sequence[str]

    @property
    def digest(self) -> str:
        """SHA-256 of all that is shown, and of the sides; says nothing of which folder is which."""
        digest = hashlib.sha256()
        for pair in self.pairs:
            digest.update(json.dumps([pair.prompt, pair.swapped]).encode())
            for picture in pair.pictures:
                digest.update(repr(picture.shape).encode() + picture.tobytes())
        return digest.hexdigest()

    def key(self) -> Mapping[str, Any]:
        """What tells the sides, kept from raters."""
        return {
            "kind": KIND,
            "pairing": self.digest,
            "first": self.names[0],
            "second": self.names[1],
            "seed": self.seed,
            "prompts": [pair.prompt for pair in self.pairs],
            "first_is_right": [pair.swapped for pair in self.pairs],
            "notes": list(self.notes),
        }


def pair_up(folders: tuple[str, str], count: int, seed: int) -> Pairing:
    """At most `count` pairs of two folders; of each pair the prompt and its number are the same.

    Of half of the pairs, drawn with the seed as their order is, the first folder's is on the right.

    Raises:
      UserError: a folder is missing or has no picture with a prompt, or they share no prompt.
    """
    first, second = folders
    sides = [_prompted(folder) for folder in folders]
    keys = sorted(sides[0][0].keys() & sides[1][0].keys())
    if not keys:
        raise UserError(
            f"{first} and {second} have no prompt in common; draw the same suite with both models."
        )
    rng = np.random.default_rng(seed)
    kept: list[tuple[str, tuple[Picture, Picture]]] = []
    identical = 0
    for index in rng.permutation(len(keys)).tolist():
        if len(kept) == count:
            break
        one, two = (read_image(side[0][keys[index]]) for side in sides)
        if one.shape == two.shape and (one == two).all():
            identical += 1
        else:
            kept.append((keys[index][0], (one, two)))
    if not kept:
        raise UserError(f"{first} and {second} have the same pictures; give another folder.")
    swapped = rng.permutation(np.arange(len(kept)) % 2 == 1).tolist()
    pairs = [Pair(*each, side) for each, side in zip(kept, swapped, strict=True)]
    notes = [
        *([f"{identical} pairs are left out, whose pictures are the same."] if identical else []),
        *(note for side in sides for note in side[1]),
        *_alone(sides[0][0], len(keys), first),
        *_alone(sides[1][0], len(keys), second),
    ]
    return Pairing(folders, pairs, seed, notes)


def _alone(found: Mapping[Any, Any], shared: int, folder: str) -> list[str]:
    alone = len(found) - shared
    return [f"{alone} pictures of {folder} have no partner."] if alone else []


def _prompted(
    folder: str,
) -> tuple[dict[tuple[str, int], pathlib.Path], list[str]]:
    """Prompt and number among its pictures -> file; and what is left out."""
    root = pathlib.Path(folder)
    if not root.is_dir():
        raise UserError(f"{folder} is not a folder; give one that holds drawn pictures.")
    found: dict[tuple[str, int], pathlib.Path] = {}
    counts: dict[str, int] = {}
    silent = 0
    for file in sorted(each for each in root.rglob("*") if each.suffix.lower() in SUFFIXES):
        prompt = _prompt_of(file)
        if prompt:
            found[prompt, counts.get(prompt, 0)] = file
            counts[prompt] = counts.get(prompt, 0) + 1
        else:
            silent += 1
    if not found:
        raise UserError(
            f"{folder} holds no picture that says its prompt; draw with `babeldraw sample` or "
            "`babeldraw evaluate --suite`, or put a text file of the same name beside each picture."
        )
    return found, [f"{silent} pictures of {folder} say no prompt."] if silent else []


def _prompt_of(file: pathlib.Path) -> str:
    """What a PNG of ours says of itself, or a text file beside it; "" where neither does."""
    beside = file.with_suffix(".txt")
    try:
        with Image.open(file) as image:
            said = str(getattr(image, "text", {}).get("prompt", ""))
        return said.strip() or (beside.read_text().strip() if beside.is_file() else "")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{file} cannot be read ({error}); take it out.") from error


def write_key(name: str | os.PathLike[str], pairing: Pairing) -> None:
    """Writes what `read_key` reads.

    Raises:
      UserError: it cannot be written.
    """
    with files.written_whole(name) as file:
        file.write((json.dumps(pairing.key(), indent=2, ensure_ascii=False) + "\n").encode())
