"""Names that describe tasks."""

import pytest

from babeldraw.data.sources import names as sources
from babeldraw.errors import UserError


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a:0.7+b:0.3", [("a", 0.7), ("b", 0.3)]),
        ("a:1 + b:.5 + c:2", [("a", 1), ("b", 0.5), ("c", 2)]),
        ("folder:/x+y:0.5+coco:/c.json,/p:1", [("folder:/x+y", 0.5), ("coco:/c.json,/p", 1)]),
        ("folder:/x:0.5", []),  # a folder of that name
        ("folder:/x+y", []),
        ("a:1+b:2+c", []),
        ("emoji_32", []),
        ("", []),
    ],
)
def test_mixtures(name, parts):
    assert sources.split_mixture(name) == parts


@pytest.mark.parametrize("name", ["a:1+a:2", "a:0+b:1"])
def test_mixtures_that_make_no_sense(name):
    with pytest.raises(UserError, match="each task once, at a rate above 0"):
        sources.split_mixture(name)


def test_names_for_seqio_tell_tasks_apart():
    names = [sources.safe_name(name) for name in ("folder:/a", "folder:/b", "coco:/a", "a:1+b:2")]
    assert len(set(names)) == 4 and names[0].startswith("folder_")
    assert all(name.replace("_", "").isalnum() for name in names)
