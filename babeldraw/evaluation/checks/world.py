"""What can be asked of an emoji: the values of each attribute, and the real pictures of each."""

import dataclasses
import difflib
import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Int, UInt8

from babeldraw.data.sets import emoji_sheets
from babeldraw.data.sets.emoji import select_cells
from babeldraw.data.sets.emoji_grid import GENDERS, STYLES, TONES, Cell
from babeldraw.errors import UserError

ATTRIBUTES = ("concept", "style", "gender", "tone")
"""What a check may name. The concept of people is what they are or do."""
OF_PEOPLE = ("gender", "tone")

SELECTIONS = ("quickstart", "people", "all")
"""The worlds, each part of the next."""

ALIKE = 0.5
"""Levels of 255 by which pictures differ on the mean at least, for anybody to tell them apart."""


@dataclasses.dataclass(frozen=True)
class World:
    """Real pictures at 32 px, and what each shows.

    Attributes:
      selection: one of `SELECTIONS`.
      names: of each attribute all values, in a fixed order.
      labels: of each attribute the index of its value, -1 where it has none.
    """

    selection: str
    cells: Sequence[Cell]
    images: UInt8[np.ndarray, "n 32 32 3"]
    names: Mapping[str, Sequence[str]]
    labels: Mapping[str, Int[np.ndarray, "n"]]

    @property
    def is_training(self) -> Bool[np.ndarray, "n"]:
        """Which pictures recipes train on, and judges are fitted on."""
        return np.array([cell.split == "train" for cell in self.cells])

    @property
    def people(self) -> Bool[np.ndarray, "n"]:
        """Which are of people that have a gender and a skin tone."""
        return np.array([bool(cell.role) for cell in self.cells])

    @functools.cached_property
    def roles(self) -> frozenset[str]:
        """The concepts that are people's."""
        return frozenset(cell.role for cell in self.cells if cell.role)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of all pictures and of what they show."""
        digest = hashlib.sha256(self.images.tobytes())
        for cell in self.cells:
            digest.update(f"{cell.split} {sorted(shown(cell).items())}\n".encode())
        return digest.hexdigest()

    @functools.cached_property
    def genders_alike(self) -> frozenset[tuple[str, ...]]:
        """Concept, style, tone and gender of those whose picture is another gender's, too."""
        groups: dict[tuple[str, str, str], list[int]] = {}
        for index in np.flatnonzero(self.people).tolist():
            asked = shown(self.cells[index])
            key = (asked["concept"], asked["style"], asked["tone"])
            groups.setdefault(key, []).append(index)
        found: set[tuple[str, ...]] = set()
        for key, members in groups.items():
            for one in members:
                others = [self.images[other] for other in members if other != one]
                apart = [np.abs(self.images[one].astype(int) - image).mean() for image in others]
                if apart and min(apart) < ALIKE:
                    found.add((*key, shown(self.cells[one])["gender"]))
        return frozenset(found)


def shown(cell: Cell) -> dict[str, str]:
    """The value of each attribute that a cell has."""
    values = {"concept": cell.role or cell.label, "style": cell.style}
    if cell.role:
        values |= {"gender": GENDERS[cell.gender], "tone": TONES[cell.tone]}
    return values


@functools.cache
def world(selection: str) -> World:
    """The pictures inside the package, or those of them that a selection has."""
    cells = emoji_sheets.read_cells(emoji_sheets.SHIPPED)
    images = emoji_sheets.read_images(emoji_sheets.SHIPPED, emoji_sheets.SHIPPED_SIZE, cells)
    chosen = select_cells(cells, selection)
    kept = [cells[index] for index in chosen]
    values = [shown(cell) for cell in kept]
    found = {name: {each.get(name, "") for each in values} for name in ATTRIBUTES}
    orders = {"style": STYLES, "gender": GENDERS, "tone": TONES}
    names = {
        name: [value for value in orders.get(name, sorted(found[name])) if value in found[name]]
        for name in ATTRIBUTES
    }
    labels = {
        name: np.array([names[name].index(v[name]) if name in v else -1 for v in values])
        for name in ATTRIBUTES
    }
    return World(selection, kept, images[chosen], names, labels)


def smallest_world(checks: Iterable[Mapping[str, str]]) -> World:
    """The first of `SELECTIONS` that has all that is checked.

    Raises:
      UserError: none has.
    """
    asked = list(checks)
    for selection in SELECTIONS:
        found = world(selection)
        wrong = next((said for each in asked if (said := _unknown(each, found))), None)
        if wrong is None:
            return found
    raise UserError(str(wrong))


def _unknown(checks: Mapping[str, str], known: World) -> str | None:
    """What is wrong with the checks of one picture, a sentence."""
    for name, value in checks.items():
        if name not in ATTRIBUTES:
            return (
                f"there is no check {name!r} of emoji; check some of {', '.join(ATTRIBUTES)}, or "
                "take it out."
            )
        names = known.names[name]
        if value not in names:
            near = difflib.get_close_matches(value, names, 3, 0.5) or names[:6]
            said = " or ".join(map(repr, near))
            return f"the check {name} is {value!r}, which no emoji shows; write such as {said}."
    people = set(OF_PEOPLE) & set(checks)
    if people and "concept" not in checks:
        return (
            f"the check {min(people)} stands without a concept; say whose, such as "
            '{"concept": "farmer", "tone": "dark"}.'
        )
    if people and checks["concept"] not in known.roles:
        return (
            f"the check {min(people)} is of {checks['concept']!r}, which has no {min(people)}; "
            "take it out."
        )
    return None
