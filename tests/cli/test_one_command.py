"""Contract: whatever is to be typed begins with `babeldraw`; no page, recipe or hint says else."""

import io
import pathlib
import re
import tokenize

import pytest

ROOT = pathlib.Path(__file__).parents[2]

OTHERWISE = re.compile(r"bin/babeldraw\b|-m\s+babeldraw\.cli|python3?\s+babeldraw/cli")

# What starts the program and shows nobody how.
NO_READERS = {"launch/worker.sh", "launch/Dockerfile"}


def pages():
    yield ROOT / "README.md"
    for pattern in ("docs/*.md", "gin/**/*.gin", "configs/*.py", "launch/*.sh", "**/*.py"):
        folder = ROOT if pattern != "**/*.py" else ROOT / "babeldraw"
        yield from sorted(folder.glob(pattern))


def said(path):
    """What a person reads of a file: of Python its texts and comments, of a script what it says."""
    text = path.read_text()
    if path.suffix == ".py":
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        kinds = (tokenize.STRING, tokenize.COMMENT)
        return "\n".join(token.string for token in tokens if token.type in kinds)
    if path.suffix == ".sh":
        return "\n".join(
            line for line in text.splitlines() if re.match(r"\s*(#|echo|printf)", line)
        )
    return text


def test_there_is_one_way_to_write_the_command():
    found = {
        path.relative_to(ROOT).as_posix(): match[0]
        for path in pages()
        if path.relative_to(ROOT).as_posix() not in NO_READERS
        for match in [OTHERWISE.search(said(path))]
        if match
    }
    assert not found


def test_the_first_command_of_a_page_has_an_activation_before_it():
    """The scripts set the environment up; in a shell of one's own it has to be entered, once."""
    for name in ("README.md", "docs/start.md"):
        text = (ROOT / name).read_text()
        activation = text.index("source .venv/bin/activate")
        first = re.search(r"^babeldraw \w+", text, re.MULTILINE)
        assert first is not None and activation < first.start(), name
    for name in ("setup.sh", "quickstart.sh"):
        assert "source $venv/bin/activate" in said(ROOT / "launch" / name)


@pytest.mark.parametrize(
    "line",
    [".venv/bin/babeldraw a", "python -m babeldraw.cli.main train", "python babeldraw/cli/main.py"],
)
def test_deviations_are_found(line, tmp_path):
    page = tmp_path / "page.py"
    page.write_text(f'"""Run `{line}`."""\n')
    assert OTHERWISE.search(said(page))
