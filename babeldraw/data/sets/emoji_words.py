"""What people type for an emoji: several captions a cell, from emojibase's label and tags.

``words.csv`` beside the shipped ``cells.csv`` has the tags, one row a concept without skin tones:
``1f34e,apple fruit red``. Captions are a pure function of cell and tags, the set's own the first.
"""

import csv
import functools
import io
import pathlib
from collections.abc import Mapping, Sequence

from babeldraw.data.sets import emoji_grid, emoji_sheets
from babeldraw.data.sets.emoji_grid import TONES, Cell

WORDS_FILE = "words.csv"
TELLING = 2
"""A tag stands alone as a caption where at most so many concepts, skin tones apart, have it."""

_THINGS = {"animals-nature", "food-drink", "travel-places", "activities", "objects"}
_NAMED_BY = " style"


def without_tones(concept: str) -> str:
    """The concept without its skin tones, under which its tags are."""
    parts = concept.split("-")
    return "-".join(part for part in parts if part not in emoji_grid.TONE_OF)


def write_words(folder: pathlib.Path, tags: Mapping[str, Sequence[str]]) -> None:
    """Writes ``words.csv``: the tags of each concept, a space in a tag as ``_``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("concept", "tags"))
    for concept, names in sorted(tags.items()):
        writer.writerow((concept, " ".join(name.replace(" ", "_") for name in names)))
    (folder / WORDS_FILE).write_bytes(text.getvalue().encode())


@functools.cache
def read_words(folder: pathlib.Path = emoji_sheets.SHIPPED) -> Mapping[str, tuple[str, ...]]:
    """Concept without skin tones -> tags, those first that few concepts have."""
    with open(folder / WORDS_FILE, encoding="utf-8", newline="") as file:
        rows = [(row["concept"], row["tags"].split()) for row in csv.DictReader(file)]
    had: dict[str, int] = {}
    for _, names in rows:
        for name in names:
            had[name] = had.get(name, 0) + 1
    return {
        concept: tuple(name.replace("_", " ") for name in sorted(names, key=had.__getitem__))
        for concept, names in rows
    }


@functools.cache
def telling(folder: pathlib.Path = emoji_sheets.SHIPPED) -> frozenset[str]:
    """Tags that at most `TELLING` concepts have, and that are no concept's label."""
    had: dict[str, int] = {}
    for names in read_words(folder).values():
        for name in names:
            had[name] = had.get(name, 0) + 1
    return frozenset(name for name, count in had.items() if count <= TELLING)


def captions(cell: Cell, tags: Sequence[str], alone: frozenset[str]) -> tuple[str, ...]:
    """Captions of a cell; the first is its own, half of all name the style.

    Args:
      tags: of its concept, `read_words`.
      alone: tags that may be all that is said, `telling`.
    """
    phrase = cell.caption.removesuffix(f", {cell.style}{_NAMED_BY}")
    said = dict.fromkeys((phrase, *_phrases(cell, phrase, tags)))
    new = [tag for tag in tags if tag not in phrase and phrase not in tag]
    said |= dict.fromkeys(f"{phrase}, {tag}" for tag in new[:1])
    if cell.tone <= 0 and not cell.role:  # a tag says neither skin tone nor gender
        said |= dict.fromkeys([tag for tag in tags if tag in alone][:3])
    named = [cell.caption]
    for one in said:
        named += [f"{one}, {cell.style}{_NAMED_BY}", f"{one} in {cell.style}{_NAMED_BY}"]
    named.append(f"{cell.style} {phrase}")
    # As many without a style: each phrase twice, and the plain one for what is left over.
    plain = [one for one in said for _ in range(2)] + [phrase]
    return (*dict.fromkeys(named), *plain[: len(dict.fromkeys(named))])


def _phrases(cell: Cell, phrase: str, tags: Sequence[str]) -> list[str]:
    """Other ways to say a cell's phrase."""
    yellow = f", {TONES[0]} skin tone"
    if phrase.endswith(yellow):  # who names no skin tone gets this one
        bare = phrase.removesuffix(yellow)
        return [bare, _with_article(bare)] if cell.role else [bare]
    if cell.role:
        bare, _, tone = phrase.rpartition(", ")
        colour = tone.removesuffix(" skin tone")
        return [
            f"{_with_article(bare)} with {colour} skin",
            f"{colour} skinned {bare}",
            f"{bare}, {colour} skin",
        ]
    if cell.group not in _THINGS or not phrase[:1].islower() or phrase.endswith("s"):
        return []
    kind = phrase.split()[-1]  # of a red apple: apple
    return [_with_article(phrase), *([kind] if kind in tags and kind != phrase else ())]


def _with_article(phrase: str) -> str:
    return f"{'an' if phrase[:1] in 'aeiou' else 'a'} {phrase}"
