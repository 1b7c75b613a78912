"""The command line's own behaviour: help, versions, exit codes, and no slow imports."""

import subprocess
import sys
import types

import aiohttp
import gcsfs.retry
import google.auth.exceptions
import pytest
import tensorflow as tf

import babeldraw
from babeldraw.cli import main as cli
from babeldraw.cli.support import compiled
from babeldraw.errors import UserError


def _fake_subcommand(monkeypatch: pytest.MonkeyPatch, run) -> None:
    module = types.SimpleNamespace(SUMMARY="A fake.", add_arguments=lambda parser: None, run=run)
    monkeypatch.setattr(cli, "_subcommand", lambda name: module)


def _raise(error: BaseException):
    def run(args):
        raise error

    return run


def test_help_lists_every_subcommand_and_imports_nothing_heavy():
    program = (
        "import sys; from babeldraw.cli.main import main\n"
        "try: main(['--help'])\n"
        "finally: print('HEAVY', sorted({'jax', 'flax', 'tensorflow', 'seqio', 'numpy',"
        " 'matplotlib', 'gin'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in cli.SUBCOMMANDS:
        assert f"\n  {name} " in done.stdout
    assert "HEAVY []" in done.stdout


@pytest.mark.parametrize("name", cli.SUBCOMMANDS)
def test_every_subcommand_has_help(name, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--help"])
    assert stop.value.code == 0
    assert f"babeldraw {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "error",
    [
        aiohttp.ClientConnectionError("no route"),
        gcsfs.retry.HttpError({"message": "no route", "code": 503}),
        google.auth.exceptions.TransportError("no route"),
        tf.errors.FailedPreconditionError(None, None, "Error executing an HTTP request: no route"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_store_that_does_not_answer_is_one_sentence(error, monkeypatch, capsys):
    _fake_subcommand(monkeypatch, _raise(error))
    assert cli.main(["fake"]) == 1  # which a launcher takes for worth another try
    said = capsys.readouterr().err
    assert said.startswith("babeldraw: error: the object store does not answer (")
    assert "no route" in said and said.count("\n") == 1


@pytest.mark.parametrize("error", [ValueError("x"), tf.errors.InvalidArgumentError(None, None, "")])
def test_other_errors_are_told_whole(error, monkeypatch):
    _fake_subcommand(monkeypatch, _raise(error))
    with pytest.raises(type(error)):
        cli.main(["fake"])


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"babeldraw {babeldraw.__version__}\n"


def test_unknown_subcommand_names_the_closest(capsys):
    assert cli.main(["trian"]) == 2
    sentence = "babeldraw: error: there is no subcommand 'trian'; did you mean 'train'?\n"
    assert capsys.readouterr().err == sentence


def test_no_subcommand_is_an_error(capsys):
    assert cli.main([]) == 2
    assert "no subcommand given" in capsys.readouterr().err


def test_user_error_is_one_line_and_exit_2(monkeypatch, capsys):
    _fake_subcommand(monkeypatch, _raise(UserError("the disk is full;\n  delete something")))
    assert cli.main(["anything"]) == 2
    assert capsys.readouterr().err == "babeldraw: error: the disk is full; delete something\n"


def test_a_bug_keeps_its_traceback(monkeypatch):
    _fake_subcommand(monkeypatch, _raise(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        cli.main(["anything"])


def test_interrupt_is_one_line_and_exit_130(monkeypatch, capsys):
    _fake_subcommand(monkeypatch, _raise(KeyboardInterrupt()))
    assert cli.main(["anything"]) == 130
    assert capsys.readouterr().err.count("\n") == 1


def test_exit_code_is_the_subcommands(monkeypatch):
    _fake_subcommand(monkeypatch, lambda args: 7)
    assert cli.main(["anything"]) == 7


@pytest.mark.parametrize(
    ("name", "compiles"), [("sample", True), ("train", True), ("vocab", False)]
)
def test_commands_that_compile_keep_their_programs(name, compiles, monkeypatch):
    kept = []
    monkeypatch.setattr(compiled, "keep_programs", lambda: kept.append(name))
    _fake_subcommand(monkeypatch, lambda args: 0)
    assert cli.main([name]) == 0
    assert bool(kept) == compiles


def test_gin_bindings_are_split_from_their_prefix():
    split = cli.split_gin_bindings(["--gin.A=1", "--gin_file=x", "--gin.b.c = [1]", "--gin."])
    assert split == ["--gin.", "A=1", "--gin_file=x", "--gin.", "b.c = [1]", "--gin."]
