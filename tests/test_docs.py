"""Contract: what the pages link to exists, and so do the commands, options and files they name.

Of a command without placeholders the parser has to take all; of others it has to know the options.
"""

import argparse
import functools
import glob
import importlib
import itertools
import re
import shlex
from pathlib import Path

import pytest

from babeldraw.cli import main as cli
from launch import run as launcher

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)

FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
COMMANDS = ("babeldraw ", "python -m ", "bash launch/")
PLACEHOLDER = re.compile(r"\.\.\.|\$\{|[\[{|]|\bN(AME)?\b")
OURS = ("babeldraw", "benchmarks", "configs", "docs", "gin", "launch", "tests")


def prose(text):
    """Without blocks of code."""
    return FENCE.sub("", text)


def links(text):
    return re.findall(r"\[[^][]*\]\(([^()\s]+)\)", re.sub(r"`[^`]*`", "`code`", prose(text)))


@functools.cache
def anchors(page):
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_links_and_pictures_exist(page):
    for link in links(page.read_text()):
        if re.match(r"\w+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), f"{page.name} links to {link}"
        assert not anchor or anchor in anchors(target), f"{page.name} links to {link}"


def test_every_page_and_picture_is_reached():
    index = links((ROOT / "docs/README.md").read_text())
    assert sorted(index) == sorted({p.name for p in PAGES[1:]} - {"README.md"})
    assert "docs/README.md" in links(PAGES[0].read_text())
    shown = {Path(link).name for page in PAGES for link in links(page.read_text())}
    assert {path.name for path in (ROOT / "docs").glob("*.png")} <= shown


def test_the_readme_is_read_in_a_minute():
    assert len(PAGES[0].read_text().splitlines()) <= 200


def commands(text):
    """Command lines of blocks and of inline code, each on one line."""
    found = []
    for language, block in FENCE.findall(text):
        if language != "diff":
            found += block.replace("\\\n", " ").splitlines()
    found += re.findall(r"`([^`]+)`", prose(text))
    lines = (" ".join(line.split()).removeprefix(".venv/bin/") for line in found)
    return [line for line in lines if line.startswith(COMMANDS)]


def words_of(line):
    """A `#` ends a command; brackets only say what may be left out."""
    return [word.strip("[]") for word in shlex.split(line, comments=True)]


def options_of(parser):
    """Of the parser and of those below it."""
    options = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            options = options.union(*map(options_of, action.choices.values()))
    return options


def subcommand_parser(name):
    assert name in cli.SUBCOMMANDS, f"there is no subcommand {name}"
    parser = argparse.ArgumentParser(prog=f"babeldraw {name}", allow_abbrev=False)
    importlib.import_module(f"babeldraw.cli.{name.replace('-', '_')}").add_arguments(parser)
    return parser


def check(parser, words, whole):
    """All of it, or only its options."""
    words = cli.split_gin_bindings(words)
    options = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert options <= options_of(parser), f"no option {options - options_of(parser)}"
    if whole:
        parser.parse_args(words)  # exits, with the reason, where it does not take them


def check_source(path, words):
    """A script or module whose parser cannot be had without running it."""
    assert path.is_file(), f"there is no {path.relative_to(ROOT)}"
    text = path.read_text()
    options = {word.partition("=")[0] for word in words if word.startswith("--")}
    missing = {option for option in options if not re.search(rf"{option}\b", text)}
    assert not missing, f"{path.name} has no option {missing}"


def check_command(line, whole):
    """Raises what is wrong with a command line; `whole`: it is meant to be typed as it stands."""
    words = words_of(line)
    whole = whole and not PLACEHOLDER.search(line)
    if words[0] == "babeldraw":
        if words[1] not in ("--help", "--version", "SUBCOMMAND"):
            check(subcommand_parser(words[1]), words[2:], whole)
    elif words[:2] == ["python", "-m"]:
        if words[2] == "launch.run":
            own = list(itertools.takewhile(lambda word: word != "--", words[3:]))
            check(launcher.make_parser(), own, whole)
            if "--job" in own:
                job = own[own.index("--job") + 1]
                check(subcommand_parser(job), words[3 + len(own) + 1 :], whole=False)
        elif not PLACEHOLDER.search(words[2]):
            rest = itertools.takewhile(lambda word: word != "--", words[3:])
            check_source(ROOT / f"{words[2].replace('.', '/')}.py", rest)
    elif words[1] == "launch/quickstart.sh":
        check(subcommand_parser("quickstart"), words[2:], whole)
    else:
        check_source(ROOT / words[1], words[2:])


@each_page
def test_commands_exist_and_take_their_options(page, capsys):
    text = page.read_text()
    inline = {" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(text))}
    for line in commands(text):
        try:
            check_command(line, whole=line not in inline)
        except (AssertionError, SystemExit, ValueError) as error:
            pytest.fail(f"{page.name}: {line}\n{error} {capsys.readouterr().err}")


@functools.cache
def recipes():
    return "\n".join(path.read_text() for path in (ROOT / "gin").rglob("*.gin"))


@each_page
def test_gin_settings_exist(page):
    for name in re.findall(r"--gin\.([\w.]+)=", page.read_text()):
        if name == "NAME":
            continue
        *module, parameter = name.split(".")
        if not module:
            assert re.search(rf"^{name} =|%{name}\b", recipes(), re.MULTILINE), name
            continue
        sources = [path.read_text() for path in (ROOT / "babeldraw").rglob(f"{module[0]}.py")]
        assert any(re.search(rf"\b{parameter}:", text) for text in sources), name


def paths(text):
    """Files and folders of ours that code names, with `{a,b}` written out."""
    found = re.findall(rf"(?<![\w./~-])(?:{'|'.join(OURS)})/[\w./*{{}},-]+", text)
    for path in found:
        parts = re.split(r"\{([^}]*)\}", path.rstrip(".,"))
        choices = [part.split(",") if i % 2 else [part] for i, part in enumerate(parts)]
        yield from map("".join, itertools.product(*choices))


@each_page
def test_files_that_are_named_exist(page):
    text = page.read_text()
    blocks = [block for language, block in FENCE.findall(text) if language != "diff"]
    # What a dry run prints names files on the workers.
    code = [block for block in blocks if not block.startswith("# ")]
    code += re.findall(r"`([^`]+)`", prose(text))
    for path in paths("\n".join(code)):
        assert glob.glob(path, root_dir=ROOT), f"{page.name} names {path}"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("babeldraw paint a dog", "there is no subcommand paint"),
        ("babeldraw sample a --checkpoint=x --samples 3", "no option {'--samples'}"),
        ("babeldraw data build cats", "2"),  # argparse's exit code
        ("babeldraw train --model_dir=x", "2"),
        ("python -m benchmarks.nothing", "there is no benchmarks/nothing.py"),
        ("python -m benchmarks.plans --slowly", "plans.py has no option"),
        ("python -m launch.run --on gke --clusters=x", "no option {'--clusters'}"),
        ("bash launch/test.sh --fast", "test.sh has no option"),
        ("bash launch/nothing.sh", "there is no launch/nothing.sh"),
    ],
)
def test_a_wrong_command_is_found(line, reason, capsys):
    with pytest.raises((AssertionError, SystemExit)) as caught:
        check_command(line, whole=True)
    assert reason in str(caught.value)


def test_wrong_links_and_files_are_found():
    text = "[a](b.md#c) `[no](link)` ![d](e.png)\n```\n[in](code)\n```\n"
    assert links(text) == ["b.md#c", "e.png"]
    assert "from-i-have-a-google-cloud-project-to-a-running-350m-job" in anchors(
        ROOT / "docs/launching.md"
    )
    assert list(paths("gin/runs/{a,b}.gin, launch/x.sh. runs/gin/x")) == [
        *("gin/runs/a.gin", "gin/runs/b.gin", "launch/x.sh"),
    ]
