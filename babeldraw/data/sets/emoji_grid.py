"""Rules that turn Unicode code points into captions, attributes and splits.

Everything here is a pure function of the code points and of their English labels, so that the
shipped set and any rebuilt one agree. A *concept* is a code point sequence in lower-case hex
without the variation selector, e.g. ``1f469-1f3ff-200d-1f692``; a *cell* is a concept in a style.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence

STYLES = ("noto", "fluent", "twemoji")
GENDERS = ("person", "man", "woman")
TONES = ("yellow", "light", "medium-light", "medium", "medium-dark", "dark")
SPLITS = ("train", "heldout_style", "heldout_people")

TONE_OF = {"1f3fb": 1, "1f3fc": 2, "1f3fd": 3, "1f3fe": 4, "1f3ff": 5}
_GENDER_OF_ADULT = {"1f9d1": 0, "1f468": 1, "1f469": 2}
_GENDER_OF_SIGN = {"2642": 1, "2640": 2}
# Roles whose name cannot be read off the label "woman ROLE".
_ROLE_NAMES = {"woman": "adult", "deaf woman": "deaf", "mermaid": "merfolk", "woman: bald": "bald"}
_ROLE_PHRASES = {"adult": "{gender}", "deaf": "deaf {gender}", "bald": "bald {gender}"}


@dataclasses.dataclass(frozen=True)
class Cell:
    """One picture of the set: a concept drawn in a style.

    Attributes:
      style: one of STYLES.
      concept: code points, lower-case hex joined by ``-``, no variation selector.
      label: the English name in emojibase.
      caption: the text to train on.
      role: what a person of the people grid is or does; empty outside the grid.
      role_index: index of `role` among the sorted role names; -1 outside the grid.
      gender: index in GENDERS; -1 outside the grid.
      tone: index in TONES (0: no skin tone given, drawn in yellow).
      group: emojibase's group, e.g. ``food-drink``.
      split: one of SPLITS.
      duplicate_of: ``style/concept`` of the first cell with the same pixels; empty when unique.
    """

    style: str
    concept: str
    label: str
    caption: str
    role: str
    role_index: int
    gender: int
    tone: int
    group: str
    split: str
    duplicate_of: str = ""


def normalize_concept(code_points: str) -> str:
    """Lower-case hex code points without the variation selector fe0f."""
    return "-".join(part for part in code_points.lower().split("-") if part != "fe0f")


def decompose(concept: str) -> tuple[str, int, tuple[int, ...]]:
    """Splits a concept into (what remains, gender index, skin tones).

    Two spellings of gender exist: an adult at the head of a joined sequence
    (``1f469-200d-1f692``) and a sign at its end (``1f46e-200d-2640``).
    """
    parts = concept.split("-")
    tones = tuple(TONE_OF[part] for part in parts if part in TONE_OF)
    parts = [part for part in parts if part not in TONE_OF]
    if parts[0] in _GENDER_OF_ADULT and (len(parts) == 1 or parts[1] == "200d"):
        return "-".join(["adult", *parts[1:]]), _GENDER_OF_ADULT[parts[0]], tones
    for sign, gender in _GENDER_OF_SIGN.items():
        if sign in parts[1:]:
            at = parts.index(sign)
            return "-".join(parts[: at - 1] + parts[at + 1 :]), gender, tones
    return "-".join(parts), 0, tones


def role_name(woman_label: str) -> str:
    """Name of a role from the label of its untoned woman, e.g. ``firefighter``."""
    if woman_label in _ROLE_NAMES:
        return _ROLE_NAMES[woman_label]
    rest = woman_label.removeprefix("woman")
    if rest.startswith(": "):  # "woman: red hair"
        return "with " + rest[2:]
    return rest.strip().replace(": ", " ")  # "woman running: facing right"


def people_grid(labels: Mapping[str, str]) -> dict[str, tuple[str, int, int]]:
    """Finds the roles that are there in all 3 genders and 6 tones.

    Args:
      labels: concept -> English label.

    Returns:
      concept -> (role, gender, tone) for every concept of the grid.
    """
    groups: dict[str, dict[tuple[int, int], str]] = {}
    for concept in labels:
        rest, gender, tones = decompose(concept)
        if len(tones) <= 1:
            groups.setdefault(rest, {})[gender, tones[0] if tones else 0] = concept
    grid = {}
    for members in groups.values():
        if len(members) == len(GENDERS) * len(TONES):
            role = role_name(labels[members[2, 0]])
            for (gender, tone), concept in members.items():
                grid[concept] = (role, gender, tone)
    return grid


def is_heldout_people(role_index: int, gender: int, tone: int) -> bool:
    """One tone of every (role, gender) pair is never seen, in any style.

    All pairs of (role, gender), (role, tone) over the genders and (gender, tone) over the roles
    remain in training; only the triple is new.
    """
    return (role_index + 2 * gender) % len(TONES) == tone


def heldout_styles(concept: str) -> frozenset[str]:
    """Styles in which a concept outside the grid is held out: each with chance 1 in 10, by hash.

    At least one style always remains.
    """
    held = [
        style
        for style in STYLES
        if int.from_bytes(hashlib.sha256(f"{concept} {style}".encode()).digest()[:8], "big") % 10
        == 0
    ]
    return frozenset(held[: len(STYLES) - 1])


def people_phrase(role: str, gender: int, tone: int) -> str:
    """E.g. ``woman firefighter, dark skin tone``. Tone 0 is named too, by the colour it has."""
    phrase = _ROLE_PHRASES.get(role, "{gender} {role}").format(gender=GENDERS[gender], role=role)
    return f"{phrase}, {TONES[tone]} skin tone"


def other_phrase(concept: str, labels: Mapping[str, str], toned: frozenset[str]) -> str:
    """Caption without style of a concept outside the grid.

    Args:
      concept: code points.
      labels: concept -> English label.
      toned: concepts (without tone) that also exist in skin tones.
    """
    label = labels[concept].replace("“", "").replace("”", "")
    label = label.replace("keycap: ", "keycap ").replace(": ", ", ")
    return f"{label}, {TONES[0]} skin tone" if concept in toned else label


def make_cells(labels: Mapping[str, str], groups: Mapping[str, str]) -> list[Cell]:
    """All cells, style by style, concepts in sorted order.

    Args:
      labels: concept -> English label.
      groups: concept -> emojibase group.
    """
    grid = people_grid(labels)
    roles: Sequence[str] = sorted({role for role, _, _ in grid.values()})
    toned = frozenset(
        "-".join(part for part in concept.split("-") if part not in TONE_OF)
        for concept in labels
        if len(decompose(concept)[2]) == 1
    )
    cells = []
    for style in STYLES:
        for concept in sorted(labels):
            if concept in grid:
                role, gender, tone = grid[concept]
                index = roles.index(role)
                phrase = people_phrase(role, gender, tone)
                held = is_heldout_people(index, gender, tone)
                split = "heldout_people" if held else "train"
            else:
                tones = decompose(concept)[2]
                role, index, gender, tone = "", -1, -1, tones[0] if len(tones) == 1 else 0
                phrase = other_phrase(concept, labels, toned)
                split = "heldout_style" if style in heldout_styles(concept) else "train"
            cells.append(
                Cell(
                    style=style,
                    concept=concept,
                    label=labels[concept],
                    caption=f"{phrase}, {style} style",
                    role=role,
                    role_index=index,
                    gender=gender,
                    tone=tone,
                    group=groups[concept],
                    split=split,
                )
            )
    return cells
