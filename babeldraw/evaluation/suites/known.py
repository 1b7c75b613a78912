"""Suites by name: published ones, classes in order, and the held-out prompts of the emoji."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

from babeldraw.errors import UserError
from babeldraw.evaluation.suites.entries import Entry, Suite, make_suite
from babeldraw.evaluation.suites.files import read_suite
from babeldraw.sizes import Size, height_and_width

_EMOJI = {
    "emoji": ("quickstart", "heldout_people"),
    "emoji-people": ("people", "heldout_people"),
    "emoji-styles": ("all", "heldout_style"),
}
"""Name -> which pictures of the set, and of which split."""

FORMS = (
    *_EMOJI,
    *("coco-30k:FILE[,FOLDER]", "coco-5k:FILE[,FOLDER]", "narratives:FILE[,FOLDER]"),
    *("parti:FILE", "classes:N", "FILE.tsv", "FILE.jsonl", "FILE.txt"),
)
"""What names a suite."""


def open_suite(name: str, size: Size, classes: Sequence[str] = ()) -> Suite:
    """The suite of a name.

    Args:
      name: one of `FORMS`.
      size: of the pictures that are drawn, for references that are ready-made.
      classes: names of the run's classes, for `classes:N`.

    Raises:
      UserError: there is none of this name, or one of its files is missing or damaged.
    """
    from babeldraw.evaluation.suites import published

    kind, colon, where = name.partition(":")
    readers: dict[str, Callable[[str], Suite]] = {
        "coco-30k": published.coco_30k,
        "coco-5k": published.coco_5k,
        "narratives": published.narratives,
        "parti": published.parti,
        "classes": functools.partial(of_classes, classes=classes),
    }
    if kind in _EMOJI and not colon:
        return emoji(kind, size)
    if colon and kind in readers:
        return readers[kind](where)
    if kind in readers or ("." not in name and "/" not in name):
        raise UserError(f"there is no suite {name!r}; give one of {', '.join(FORMS)}.")
    return read_suite(name)


def of_classes(count: str, classes: Sequence[str]) -> Suite:
    """`count` pictures of all classes in order: as many of each, the first ones one more.

    Drawing classes at random would add the noise of their numbers to every score.

    Raises:
      UserError: it is no number, or the run has no classes.
    """
    if not classes:
        raise UserError("classes:N draws classes, and this run has none; give a suite of prompts.")
    if not count.isdecimal() or int(count) < 1:
        raise UserError(f"classes:{count} says no number of pictures; write such as classes:50000.")
    each, more = divmod(int(count), len(classes))
    width = len(str(len(classes) - 1))
    samples = [each + (number < more) for number in range(len(classes))]
    entries = [
        # By number: two classes may have one name.
        Entry(f"{number:0{width}d}", str(number), category=name, samples=samples[number])
        for number, name in enumerate(classes)
        if samples[number]
    ]
    left_out = len(classes) - len(entries)
    notes = [f"{left_out} of {len(classes)} classes are not drawn."] if left_out else []
    return make_suite("classes", entries, notes)


def emoji(name: str, size: Size) -> Suite:
    """Prompts that no recipe of the emoji trains on, with their pictures and what they show.

    `checks` has the concept (of people what they are or do), the style, and of people the skin tone
    and the gender.

    Raises:
      UserError: the pictures are not built at this size.
    """
    from babeldraw.data.sets import emoji as emoji_set
    from babeldraw.data.sets import emoji_grid, emoji_sheets

    height, width = height_and_width(size)
    if height != width:
        raise UserError(
            f"the suite {name} has square pictures, and the run draws others; give another suite."
        )
    selection, split = _EMOJI[name]
    folder = emoji_sheets.find_folder(height)
    cells = emoji_sheets.read_cells(folder)
    images = emoji_sheets.read_images(folder, height, cells)
    entries, others = [], []
    for index in emoji_set.select_cells(cells, selection):
        cell = cells[index]
        if cell.split != split:
            others.append((cell.caption, images[index]))
            continue
        checks = {"concept": cell.role or cell.label, "style": cell.style}
        if cell.role:
            checks |= {
                "gender": emoji_grid.GENDERS[cell.gender],
                "tone": emoji_grid.TONES[cell.tone],
            }
        entries.append(
            Entry(
                f"{cell.style}-{cell.concept}",
                cell.caption,
                category=cell.style,
                challenge=cell.role or cell.group,
                reference=images[index],
                checks=checks,
            )
        )
    return dataclasses.replace(make_suite(name, entries), others=others)
