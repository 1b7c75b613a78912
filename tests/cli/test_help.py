"""Contract: --help says of every option what it does and what it is when it is not given."""

import argparse
import importlib

import pytest

from babeldraw.cli import main as cli
from babeldraw.cli.support.flags import Help, Parser


def parsers(parser):
    """It, and those of its commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from parsers(inner)


@pytest.mark.parametrize("name", cli.SUBCOMMANDS)
def test_every_option_is_explained_and_has_a_default_or_is_required(name):
    parser = Parser(prog=f"babeldraw {name}")
    importlib.import_module(f"babeldraw.cli.{name.replace('-', '_')}").add_arguments(parser)
    for each in parsers(parser):
        assert each.formatter_class is Help
        for action in each._actions:
            option = f"{each.prog} {'/'.join(action.option_strings)}"
            if action.option_strings and action.dest != "help":
                assert action.help, f"{option} has no help"
                said = each._get_formatter()._expand_help(action)
                assert "default" in said or "(required)" in said, option


def test_help_as_it_is_read(capsys):
    with pytest.raises(SystemExit):
        cli.main(["sample", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    for part in (
        "PROMPT what to draw",
        "or its repository of Hugging Face (default: the emoji model",
        "--num_samples N pictures of each prompt (default: 4)",
        "--temperature T 1 as trained, below it more of what is probable (default: 1.0)",
        "(default: 0; with --interactive one by chance)",
        "order the samples of a prompt with this CoCa run (default: none)",
        "draw nothing (off by default)",
    ):
        assert part in said
    assert "None" not in said and "[]" not in said
