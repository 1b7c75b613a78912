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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--size", "64"], "task emoji_64"),
        (["--size", "32"], "task emoji_32 (which reads those inside the package)"),
        (["--size", "100"], "no task reads them there"),
        (["--size", "64", "--output", "elsewhere"], "no task reads them there"),
    ],
)
def test_a_built_set_is_named_with_the_task_that_reads_it(arguments, said, capsys, monkeypatch):
    monkeypatch.setattr(data, "_build_emoji", lambda *_: 9417)
    assert data.run(parse(data, "build", "emoji", *arguments)) == 0
    assert capsys.readouterr().out.endswith(f" s: {said}\n")


def test_build_needs_a_known_set(capsys):
    with pytest.raises(SystemExit):
        parse(data, "build", "photos")
    assert "emoji" in capsys.readouterr().err
