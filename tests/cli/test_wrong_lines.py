"""Contract: whatever is wrong with a command line is one sentence and exit code 2, before any work.

The lines are made from the parsers and from the annotations of what recipes set; no line gets as
far as making a mesh.
"""

import os
import subprocess
import sys

import pytest

from babeldraw.cli import main as cli
from tests.cli.wrong_lines import CONTENTS, lines

LINES = lines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("wrong")
    for name in ("run", "folder"):
        (made / name).mkdir()
    (made / "run" / "config.gin").touch()
    for name, content in CONTENTS.items():
        (made / name).write_bytes(content.replace(b"DIR", os.fsencode(made)))
    return made


def test_there_are_two_hundred():
    assert len(LINES) >= 200
    assert len({line.arguments for line in LINES}) == len(LINES)


@pytest.mark.parametrize("line", LINES, ids=lambda line: " ".join(line.arguments)[-70:])
def test_it_is_one_sentence(line, folder, monkeypatch, capsys):
    def no_mesh(*_):
        raise AssertionError("accepted")

    monkeypatch.setattr("babeldraw.training.loop.make_mesh", no_mesh)
    arguments = [word.replace("DIR", str(folder)) for word in line.arguments]
    before = {*folder.rglob("*")}, {*os.listdir()}
    assert cli.main(arguments) == 2
    assert ({*folder.rglob("*")}, {*os.listdir()}) == before
    said = capsys.readouterr().err
    assert said.startswith("babeldraw: error: ") and said.count("\n") == 1, said
    assert line.named.replace("DIR", str(folder)) in said


HEAVY = {
    "jax",
    "flax",
    "optax",
    "orbax",
    "tensorflow",
    "seqio",
    "tensorflow_datasets",
    "matplotlib",
}
LIGHT = [line.arguments for line in LINES if line.arguments[:1] not in (("train",), ("plan",))]
LIGHT = [*LIGHT, ("train", "--gin_file=nowhere.gin"), ("train", "--gin_file=a", "--process_id=-1")]


def test_what_a_flag_or_a_prompt_says_is_checked_without_heavy_imports(folder):
    """All in one process: what one of them imports is there at the end."""
    lines = [[word.replace("DIR", str(folder)) for word in line] for line in LIGHT]
    lines = [line for line in lines if not any("--decode" in word for word in line)]
    program = (
        "import sys; from babeldraw.cli.main import main\n"
        f"for line in {lines!r}:\n"
        "    assert main(line) == 2, line\n"
        f"    assert not {HEAVY!r} & set(sys.modules), line\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_tensorflow_starts_without_a_word():
    program = "import jax; from babeldraw.data import tasks; import tensorflow as tf; "
    program += "next(iter(tf.data.Dataset.range(1)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("number", (0, len(LINES) // 2, len(LINES) - 3))
def test_it_is_so_in_a_process(number, folder):
    arguments = [word.replace("DIR", str(folder)) for word in LINES[number].arguments]
    command = [sys.executable, "-m", "babeldraw.cli.main", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.startswith("babeldraw: error: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "line",
    [
        ["quickstart"],
        ["data", "build", "tuxpaint"],
        ["tokenize", "--checkpoint=runs/a", "--decode=tokens.npz"],
    ],
)
def test_what_is_written_on_disks_alone_refuses_a_bucket(line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main([*line, "--output=gs://bucket/a"]) == 2
    assert "--output gs://bucket/a is in a bucket; name a folder of this" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
