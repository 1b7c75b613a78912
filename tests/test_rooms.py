"""Contract: the house is as docs/design.md draws it, and no import breaks its rules."""

import pytest

from docs import rooms

MODULES = rooms.read_modules()


def test_no_import_breaks_a_rule():
    broken = rooms.faults(MODULES, rooms.read_imports(MODULES))
    assert not broken, "\n".join(broken)


def test_the_page_shows_the_house_as_it_is():
    page = rooms.PAGE.read_text()
    assert page == rooms.insert(page, rooms.section()), "run python -m docs.rooms --write"


def test_every_room_says_what_it_is_for():
    assert all(rooms.purpose(name) for name in rooms.in_order(MODULES))


def build(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    modules = rooms.read_modules(root)
    return rooms.faults(modules, rooms.read_imports(modules), root)


LAZY = "def f():\n    {}\n"
FOR_TYPES = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    {}\n"


BREAKING = (
    ("models/a.py", "from babeldraw.sampling import b", "points down"),
    ("files.py", "from babeldraw.sampling import b", "points down"),
    ("parallel/a.py", "from benchmarks import c", "points down"),
    ("cli/support/a.py", "import babeldraw.cli.e", "points down"),
    ("data/sources/a.py", "from babeldraw.weights.d import x", "imports no model"),
    ("training/keeping/a.py", "from babeldraw.sampling import b", "knows no model"),
    ("training/a.py", "import gin.config", "neither gin nor absl"),
    ("sampling/a.py", "from absl import flags", "neither gin nor absl"),
    ("cli/a.py", "import tensorflow as tf", "TensorFlow and seqio"),
    ("cli/a.py", "from babeldraw.cli import e", "A subcommand"),
)
CASES = [(where, *case) for where in ("{}\n", LAZY, FOR_TYPES) for case in BREAKING]
CASES.remove((FOR_TYPES, "cli/a.py", "import tensorflow as tf", "TensorFlow and seqio"))


@pytest.mark.parametrize(("where", "importer", "statement", "rule"), CASES)
def test_what_breaks_a_rule_is_found(tmp_path, where, importer, statement, rule):
    broken = build(
        tmp_path,
        {
            "babeldraw/__init__.py": "",
            "babeldraw/sampling/b.py": "",
            "babeldraw/weights/d.py": "",
            "babeldraw/cli/e.py": "",
            "benchmarks/c.py": "",
            f"babeldraw/{importer}": where.format(statement),
        },
    )
    assert any(rule in line for line in broken), broken


def test_what_may_be_imported_is_no_fault(tmp_path):
    assert not build(
        tmp_path,
        {
            "babeldraw/data/a.py": "import seqio\nfrom babeldraw.data.sources import b",
            "babeldraw/data/sources/b.py": "from babeldraw import errors",
            "babeldraw/errors.py": "",
            "babeldraw/cli/c.py": "from absl import logging\nimport gin\n"
            + FOR_TYPES.format("import seqio"),
            "launch/d.py": "from babeldraw.cli import c",
        },
    )


def test_circles_are_found_where_imports_are_lazy(tmp_path):
    broken = build(
        tmp_path,
        {
            "babeldraw/models/a.py": "import babeldraw.models.b",
            "babeldraw/models/b.py": LAZY.format("from babeldraw.models.c import x"),
            "babeldraw/models/c.py": FOR_TYPES.format("from babeldraw.models import a"),
        },
    )
    assert len(broken) == 1 and rooms.NO_CIRCLE in broken[0]
    assert all(f"babeldraw.models.{name}" in broken[0] for name in "abc")


def test_relative_imports_and_unknown_rooms_are_refused(tmp_path):
    with pytest.raises(ValueError, match="write the import in full"):
        build(tmp_path / "1", {"babeldraw/models/a.py": "from . import b"})
    files = {"babeldraw/attic/a.py": "import babeldraw.errors", "babeldraw/errors.py": ""}
    with pytest.raises(ValueError, match="where attic stands"):
        build(tmp_path / "2", files)
