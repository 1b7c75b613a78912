"""`babeldraw data build` and `babeldraw vocab`."""

import argparse

import pytest

from babeldraw.cli import data, vocab
from babeldraw.data import vocabulary
from babeldraw.errors import UserError


def parse(module, *arguments):
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return parser.parse_args(arguments)


def test_vocab(tmp_path, capsys):
    output = tmp_path / "new" / "v.model"
    arguments = ["--task", "emoji_quickstart_32", "--size", "400", "--output", str(output)]
    assert vocab.run(parse(vocab, *arguments)) == 0
    assert vocabulary.load_vocabulary(output).vocab_size == 400
    assert "400 pieces" in capsys.readouterr().out


def test_vocab_of_an_unknown_task(tmp_path):
    arguments = parse(vocab, "--task", "emoji_23", "--output", str(tmp_path / "v.model"))
    with pytest.raises(UserError, match="did you mean"):
        vocab.run(arguments)


def test_build_without_packages(tmp_path):
    arguments = parse(data, "build", "emoji", "--output", str(tmp_path), "--npm_dir", str(tmp_path))
    with pytest.raises(UserError, match="install @iconify-json/noto"):
        data.run(arguments)
    assert not list(tmp_path.iterdir())


def test_build_needs_a_known_set(capsys):
    with pytest.raises(SystemExit):
        parse(data, "build", "photos")
    assert "emoji" in capsys.readouterr().err
