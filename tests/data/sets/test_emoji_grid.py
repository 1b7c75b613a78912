"""The rules that name, caption and split the emoji."""

import collections
import itertools

import pytest

from babeldraw.data.sets import emoji_grid as grid
from babeldraw.data.sets import emoji_sheets


@pytest.fixture(scope="module")
def cells():
    return emoji_sheets.read_cells(emoji_sheets.SHIPPED)


@pytest.mark.parametrize(
    ("concept", "expected"),
    [
        ("1f469-1f3ff-200d-1f692", ("adult-200d-1f692", 2, (5,))),
        ("1f46e-1f3fb-200d-2642", ("1f46e", 1, (1,))),
        ("1f9d1", ("adult", 0, ())),
        ("1f3c3-200d-2640-200d-27a1", ("1f3c3-200d-27a1", 2, ())),
        ("1f34e", ("1f34e", 0, ())),
        ("1f468-1f3fb-200d-1f91d-200d-1f468-1f3ff", ("adult-200d-1f91d-200d-1f468", 1, (1, 5))),
    ],
)
def test_decompose(concept, expected):
    assert grid.decompose(concept) == expected


@pytest.mark.parametrize(
    ("label", "role"),
    [
        ("woman firefighter", "firefighter"),
        ("woman: red hair", "with red hair"),
        ("woman running: facing right", "running facing right"),
        ("mermaid", "merfolk"),
        ("woman", "adult"),
    ],
)
def test_role_name(label, role):
    assert grid.role_name(label) == role


def test_captions_read_naturally(cells):
    captions = {(cell.concept, cell.style): cell.caption for cell in cells}
    assert captions["1f34e", "noto"] == "red apple, noto style"
    assert (
        captions["1f469-1f3ff-200d-1f692", "fluent"]
        == "woman firefighter, dark skin tone, fluent style"
    )
    assert (
        captions["1f9d1-200d-1f692", "twemoji"]
        == "person firefighter, yellow skin tone, twemoji style"
    )
    assert captions["1f44b", "noto"] == "waving hand, yellow skin tone, noto style"
    assert captions["1f468-200d-1f9b2", "noto"] == "bald man, yellow skin tone, noto style"


def test_captions_are_unique(cells):
    assert len({cell.caption for cell in cells}) == len(cells) == 3 * 3139


def test_shipped_cells_follow_the_rules(cells):
    labels = {cell.concept: cell.label for cell in cells}
    groups = {cell.concept: cell.group for cell in cells}
    without = [(c.style, c.concept, c.caption, c.role_index, c.split) for c in cells]
    again = grid.make_cells(labels, groups)
    assert [(c.style, c.concept, c.caption, c.role_index, c.split) for c in again] == without


def test_people_grid_is_full(cells):
    people = collections.Counter((c.role, c.gender, c.tone, c.style) for c in cells if c.role)
    roles = {role for role, *_ in people}
    assert len(roles) == 78
    assert set(people) == set(itertools.product(roles, range(3), range(6), grid.STYLES))
    assert set(people.values()) == {1}


def test_held_out_people_are_new_triples_of_seen_pairs(cells):
    people = [cell for cell in cells if cell.role]
    train = [cell for cell in people if cell.split == "train"]
    held = [cell for cell in people if cell.split == "heldout_people"]
    assert len(held) == 78 * 3 * 3 and len(train) + len(held) == len(people)
    for cell in held:
        assert (cell.role_index + 2 * cell.gender) % 6 == cell.tone
    names = ("role", "gender", "tone", "style")
    for first, second in itertools.combinations(names, 2):
        seen = {(getattr(c, first), getattr(c, second)) for c in train}
        assert {(getattr(c, first), getattr(c, second)) for c in held} <= seen, (first, second)
    triples = {(c.role, c.gender, c.tone) for c in train}
    assert not triples & {(c.role, c.gender, c.tone) for c in held}


def test_held_out_styles_are_a_tenth_of_concepts_seen_elsewhere(cells):
    others = [cell for cell in cells if not cell.role]
    held = [cell for cell in others if cell.split == "heldout_style"]
    assert 0.08 < len(held) / len(others) < 0.12
    trained = {cell.concept for cell in others if cell.split == "train"}
    assert {cell.concept for cell in held} <= trained
    assert {cell.style for cell in held} == set(grid.STYLES)


def test_one_style_always_remains(monkeypatch):
    class Zero:
        def __init__(self, _):
            pass

        def digest(self):
            return bytes(32)  # every style is drawn

    monkeypatch.setattr(grid.hashlib, "sha256", Zero)
    assert len(grid.heldout_styles("1f34e")) == 2


def test_role_index_is_the_place_in_sorted_order(cells):
    roles = sorted({cell.role for cell in cells if cell.role})
    assert all(roles[cell.role_index] == cell.role for cell in cells if cell.role)
