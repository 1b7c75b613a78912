"""Every prompt of the emoji with what its pictures have to show, as lines of a suite's file."""

import json
import os
from collections.abc import Mapping
from typing import Any

from babeldraw import files
from babeldraw.evaluation.checks.world import World, shown

KINDS = {
    "train": "seen",
    "heldout_people": "held out: role, gender and tone",
    "heldout_style": "held out: concept and style",
}
"""Split of the set -> category of the suite."""


def entries(known: World) -> list[Mapping[str, Any]]:
    """A prompt for each cell, people's before those of things, with columns of a suite.

    People's are role x gender x tone x style, others concept x style; the gender is not checked
    where the picture is another gender's, too.
    """
    cells = sorted(known.cells, key=lambda cell: (not cell.role, f"{cell.style}-{cell.concept}"))
    found: list[Mapping[str, Any]] = []
    for cell in cells:
        checks = shown(cell)
        if tuple(checks.get(n) for n in ("concept", "style", "tone", "gender")) in (
            known.genders_alike
        ):
            del checks["gender"]
        found.append(
            {
                "id": f"{cell.style}-{cell.concept}",
                "prompt": cell.caption,
                "category": KINDS[cell.split],
                "challenge": cell.role or cell.group,
                "checks": checks,
            }
        )
    return found


def write(name: str | os.PathLike[str], known: World) -> int:
    """Writes a `.jsonl` of the whole world, the same each time; returns how many prompts.

    Raises:
      UserError: it cannot be written.
    """
    lines = entries(known)
    with files.written_whole(name) as file:
        for line in lines:
            file.write((json.dumps(line, ensure_ascii=False) + "\n").encode())
    return len(lines)
