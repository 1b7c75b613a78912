"""Contract: docs/fidelity.md names files, names and tests that exist, and figures that stand
elsewhere in the documentation."""

import ast
import functools
import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/fidelity.md"
COLUMNS = ["Statement", "Source", "Where", "Test", "Published", "Ours"]
CLAIMS = range(31, 44)  # of the patent; 1 to 30 are cancelled
NOT_BUILT = "not built"


class Row(NamedTuple):
    statement: str
    source: str
    where: str
    test: str
    published: str
    ours: str


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def read_rows():
    tables = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    lines = [cells(line) for line in tables if not line.startswith("|---")]
    assert COLUMNS in lines
    return [Row(*line) for line in lines if line != COLUMNS]


ROWS = read_rows()
each_row = pytest.mark.parametrize("row", ROWS, ids=[row.statement[:40] for row in ROWS])


def named(cell):
    """`(path, name or None)` of every path and name in backquotes; a name follows its path."""
    path, found = None, []
    for word in re.findall(r"`([^`]+)`", cell):
        before, double_colon, after = word.partition("::")
        if double_colon:
            path = before or path
            found.append((path, after))
        elif "/" in word:
            path = word
            found.append((path, None))
        else:
            found.append((path, word))
    return found


@functools.cache
def python_names(path):
    """Names at the top of a module, and `Class.member` for what a class defines or annotates."""

    def own(body):
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                yield node.name, node
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in targets:
                    names = (leaf for leaf in ast.walk(target) if isinstance(leaf, ast.Name))
                    yield from ((leaf.id, node) for leaf in names)

    names = set()
    for name, node in own(ast.parse((ROOT / path).read_text()).body):
        names.add(name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{name}.{member}" for member, _ in own(node.body)}
    return names


@functools.cache
def tiers(path):
    """`slow` or `published` of each test that is marked so, whatever its parameters."""
    body = ast.parse((ROOT / path).read_text()).body
    lines = [ast.unparse(node) for node in body if isinstance(node, ast.Assign)]
    found = {}
    for node in body:
        marks = [ast.unparse(mark) for mark in getattr(node, "decorator_list", [])]
        for tier in ("slow", "published"):
            mark = f"pytest.mark.{tier}"
            if f"pytestmark = {mark}" in lines or mark in marks:
                found[getattr(node, "name", None)] = tier
    return found


def has(path, name):
    """Whether a Python file defines `name`, or a gin file binds it."""
    if path.endswith(".py"):
        return name in python_names(path)
    text = (ROOT / path).read_text()
    return re.search(rf"^\s*{re.escape(name)}(:| =)", text, re.MULTILINE) is not None


@each_row
def test_a_row_names_what_exists(row):
    assert re.fullmatch(r"(patent|derived|arXiv \d{4}\.\d{5}|, )+", row.source)
    carried = named(row.where)
    assert bool(carried) != (row.where == NOT_BUILT), "a row has a file or is not built"
    for path, name in [*carried, *named(row.test)]:
        assert (ROOT / path).is_file(), path
        assert name is None or has(path, name), f"{path} has no {name}"
    in_library = any(not path.startswith("benchmarks/") for path, _ in carried)
    tests = [name for path, name in named(row.test) if path.startswith("tests/")]
    assert bool(tests) == in_library, "what is built has a test, and nothing else has"
    assert all(name and name.startswith("test_") for name in tests)
    told = dict(re.findall(r"::(\w+)` \((slow|published)\)", row.test))
    assert told == {
        name: tiers(path)[name] for path, name in named(row.test) if name in tiers(path)
    }


@functools.cache
def documentation():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return "\n".join(page.read_text() for page in pages if page != PAGE)


def is_documented(figure):
    return re.search(rf"(?<![\d.]){re.escape(figure)}(?![\d]|\.\d)", documentation()) is not None


@each_row
def test_our_figures_stand_elsewhere_in_the_documentation(row):
    text = re.sub(r"`[^`]*`|arXiv \S+|\w+/\S+", "", row.ours)
    # Whole numbers below 100 are counts and settings more often than results.
    for figure in re.findall(r"\d[\d,]*\.\d+%?|\d+%", text):
        assert is_documented(figure), f"{figure} is in no other page"
    for module in re.findall(r"python -m benchmarks\.(\w+)", row.ours):
        assert (ROOT / "benchmarks" / f"{module}.py").is_file(), module
    if row.where == NOT_BUILT:
        assert re.search("not (built|run)", row.ours), "say that it is not built or not run"


def test_every_claim_has_a_row():
    found = [int(number) for row in ROWS for number in re.findall(r"^claim (\d+),", row.statement)]
    assert found == list(CLAIMS)


def test_what_does_not_exist_is_found():
    assert has("babeldraw/models/vit_vqgan.py", "Quantizer.l2_normalize")
    assert not has("babeldraw/models/vit_vqgan.py", "Quantizer.l2")
    assert has("gin/runs/tokenizer.gin", "VQ_WEIGHT")
    assert not has("gin/runs/tokenizer.gin", "VQ")
    assert is_documented("27.96") and not is_documented("27.9")
    cell = "`tests/a.py::test_b`, `::test_c`, `babeldraw/d.py` `E.f`"
    assert named(cell) == [
        *(("tests/a.py", "test_b"), ("tests/a.py", "test_c")),
        *(("babeldraw/d.py", None), ("babeldraw/d.py", "E.f")),
    ]
