"""Contract: the dry runs that docs/launching.md shows are those that its commands print."""

import itertools
import re
import shlex

from babeldraw.cli.support.paths import repository_root
from launch import run


def test_the_newcomers_path(capsys):
    text = (repository_root() / "docs/launching.md").read_text()
    blocks = re.findall(r"```\n(.*?)```", text, re.DOTALL)
    pairs = [
        (command, shown)
        for command, shown in itertools.pairwise(blocks)
        if command.startswith("python -m launch.run") and shown.startswith("# ")
    ]
    assert len(pairs) == 4
    for command, shown in pairs:
        words = shlex.split(command.replace("\\\n", " "))
        assert run.main([*words[3:], "--dry-run"]) == 0
        assert capsys.readouterr().out == shown
