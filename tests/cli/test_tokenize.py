"""Contract: folder -> tokens -> folder, by the tokenizer that made them, and nowhere else."""

import json
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from babeldraw.cli.main import main
from babeldraw.cli.support.runs import open_run
from babeldraw.cli.support.terminal import skipped_summary
from babeldraw.cli.tokenize import output_paths
from babeldraw.data.picture_files.framing import frame
from babeldraw.data.picture_files.view import PLAIN, View
from babeldraw.data.token_file import TokenFile
from babeldraw.errors import UserError
from tests.cli import runs
from tests.models import tiny

NAMES = ["a.jpg", "a.png", "deep/down/b.png"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.write_tokenizer(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three pictures of the tokenizer's size, and two files that are none."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "deep" / "down").mkdir(parents=True)
    for name, image in zip(NAMES, tiny.images(3), strict=True):
        Image.fromarray(image).save(folder / name, format="PNG")
    (folder / "empty.png").touch()
    (folder / "notes.txt").write_text("hello")
    return folder


@pytest.fixture(scope="module")
def encoded(run, folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("encoded") / "tokens.npz"
    arguments = ["--images", str(folder), "--output", str(path), "--batch_size=2"]
    assert main(["tokenize", "--checkpoint", run, *arguments]) == 0
    return path


def codec(run):
    return open_run(run).codec(batch_size=2)


def test_tokens_are_the_runs(run, encoded):
    file = TokenFile.read(encoded)
    assert file.names.tolist() == NAMES
    assert (file.grid, file.tokenizer) == ((4, 5), codec(run).identity)
    np.testing.assert_array_equal(file.tokens, codec(run).encode(tiny.images(3)))


def test_pictures_come_as_the_tokenizer_was_trained(run, tmp_path):
    padding = shutil.copytree(run, tmp_path / "run")
    settings = json.loads((padding / "settings.json").read_text())
    settings["train_dataset"] |= {"fit": "pad", "background": "#10a0ff", "zoom": 2.0}
    (padding / "settings.json").write_text(json.dumps(settings))
    assert open_run(run).view == PLAIN
    wide = np.random.default_rng(0).integers(0, 256, (10, 40, 3), np.uint8)
    (tmp_path / "pictures").mkdir()
    Image.fromarray(wide).save(tmp_path / "pictures" / "wide.png")
    tokens = tmp_path / "tokens.npz"
    arguments = ["--images", str(tmp_path / "pictures"), "--output", str(tokens), "--batch_size=2"]
    assert main(["tokenize", "--checkpoint", str(padding), *arguments]) == 0
    seen = frame(wide, (16, 20), View("pad", "#10a0ff"))
    assert (seen[:5] == (16, 160, 255)).all() and (seen[6:10] != (16, 160, 255)).any()
    found = TokenFile.read(tokens).tokens
    np.testing.assert_array_equal(found, codec(run).encode(seen[np.newaxis]))
    assert (found != codec(run).encode(frame(wide, (16, 20))[np.newaxis])).any()


def test_decoded_pictures_have_their_names(run, encoded, tmp_path, capsys):
    output = tmp_path / "pictures"
    arguments = ["--decode", str(encoded), "--output", str(output), "--batch_size=2"]
    assert main(["tokenize", "--checkpoint", run, *arguments]) == 0
    written = sorted(str(path.relative_to(output)) for path in output.rglob("*.*"))
    assert written == ["a-2.png", "a.png", "deep/down/b.png"]
    expected = codec(run).reconstruct(tiny.images(3))
    for name, image in zip(["a.png", "a-2.png", "deep/down/b.png"], expected, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(output / name)), image)
    assert "3 pictures are in" in capsys.readouterr().out


def test_decoded_pictures_enlarged(run, encoded, tmp_path):
    upscaler = runs.write_super_resolution(tmp_path)
    arguments = ["--decode", str(encoded), "--output", str(tmp_path / "large"), "--batch_size=2"]
    assert main(["tokenize", "--checkpoint", run, *arguments, "--upscale", upscaler]) == 0
    small = codec(run).reconstruct(tiny.images(3))[2]
    large = np.asarray(Image.open(tmp_path / "large" / "deep" / "down" / "b.png"))
    assert large.shape == (32, 40, 3)
    # A fresh network gives the plain enlargement.
    back = large.reshape(16, 2, 20, 2, 3).mean((1, 3))
    assert np.corrcoef(back.ravel(), small.ravel())[0, 1] > 0.9


def test_says_what_was_skipped(run, folder, tmp_path, capsys):
    arguments = ["--images", str(folder), "--output", str(tmp_path / "t.npz"), "--batch_size=2"]
    assert main(["tokenize", "--checkpoint", run, *arguments]) == 0
    printed = capsys.readouterr()
    assert "skipped 2 files: 1 empty (empty.png); 1 of other kinds\n" in printed.out
    assert "\r3 pictures | " in printed.err  # of five files


def refused(capsys, *arguments):
    assert main(["tokenize", *map(str, arguments)]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("babeldraw: error: ")
    return message


def test_tokens_of_another_tokenizer(run, encoded, tmp_path, capsys):
    file = TokenFile.read(encoded)
    other = tmp_path / "other.npz"
    TokenFile(file.tokens, file.names, file.grid, "0" * 64).write(other)
    output = tmp_path / "out"
    message = refused(capsys, "--checkpoint", run, "--decode", other, "--output", output)
    assert "another tokenizer (its encoder and codebook are 000000000000" in message
    assert not output.exists()


def test_names_that_lead_out(run, encoded, tmp_path, capsys):
    file = TokenFile.read(encoded)
    evil = tmp_path / "evil.npz"
    names = np.array(["a.png", "b.png", "../../evil.png"])
    TokenFile(file.tokens, names, file.grid, file.tokenizer).write(evil)
    output = tmp_path / "x" / "out"
    message = refused(capsys, "--checkpoint", run, "--decode", evil, "--output", output)
    assert "leads out of the folder" in message
    assert list(tmp_path.rglob("*.png")) == []


@pytest.mark.parametrize(
    "name", ["../a", "/a", "b/../../a", "..", ".", "", "a\\b", "a\0b", "link/a"]
)
def test_output_paths_stay_in_the_folder(name, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path)
    with pytest.raises(UserError, match="leads out"):
        output_paths([name], tmp_path / "out")


def test_output_paths_are_all_different(tmp_path):
    names = ["a.jpg", "A.png", "a", "a-2.gif", "b.tar.gz", "c/a.png"]
    paths = [path.relative_to(tmp_path) for path in output_paths(names, tmp_path)]
    expected = ["a.png", "A-2.png", "a-3.png", "a-2-2.png", "b.tar.png", "c/a.png"]
    assert paths == [pathlib.Path(name) for name in expected]


def test_what_cannot_be_done(run, folder, encoded, tmp_path, capsys):
    images = ("--images", folder, "--output", tmp_path / "t.npz")
    assert "not a run directory" in refused(capsys, "--checkpoint", tmp_path, *images)
    message = refused(capsys, "--checkpoint", run, "--images", tmp_path, "--output", tmp_path)
    assert "is a folder; name the file to write" in message
    empty = tmp_path / "empty"
    empty.mkdir()
    message = refused(capsys, "--checkpoint", run, "--images", empty, *images[2:])
    assert "holds no picture that can be read (skipped no file)" in message
    assert not (tmp_path / "t.npz").exists()
    assert "1 or more" in refused(capsys, "--checkpoint", run, *images, "--batch_size=0")
    message = refused(capsys, "--checkpoint", run, *images, "--upscale", run)
    assert "give --decode FILE" in message
    decode = ("--decode", encoded, "--output", tmp_path / "out")
    message = refused(capsys, "--checkpoint", run, *decode, "--upscale", run)
    assert "objective Tokenizer, which enlarges no pictures" in message


def test_summary_cannot_steer_the_terminal():
    skipped = {"damaged": [f"{number}\x1b[2J.png" for number in range(5)], "empty": ["é\udcff"]}
    summary = skipped_summary(skipped)
    assert summary == (
        r"skipped 6 files: 5 damaged (0\x1b[2J.png, 1\x1b[2J.png, 2\x1b[2J.png and 2 more); "
        r"1 empty (é\udcff)"
    )
    beside = {"not an image": ["a.txt", "web.png", "b.txt"], "damaged": ["c.png"]}
    assert skipped_summary(beside) == (
        "skipped 4 files: 1 not an image (web.png); 1 damaged (c.png); 2 of other kinds"
    )
