"""Contract: `--decoder` makes a run's tokens into pictures by another decoder of its tokenizer."""

import numpy as np
import pytest
from PIL import Image

import babeldraw
from babeldraw.cli.main import main
from babeldraw.cli.support.runs import open_run
from tests.cli import runs

TEXT = "woman cook"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.write_text_to_image(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    return runs.write_decoder(tmp_path_factory.mktemp("decoder"))


def drawn(checkpoint, folder, *more):
    words = ["sample", TEXT, "--num_samples=1", f"--output={folder}", "--checkpoint", checkpoint]
    assert main([*words, *more]) == 0
    with Image.open(folder / "woman-cook-00.png") as picture:
        return np.asarray(picture), picture.text


def test_the_same_tokens_are_other_pictures(run, decoder, tmp_path):
    own, _ = drawn(run, tmp_path / "own")
    other, said = drawn(run, tmp_path / "other", "--decoder", decoder)
    assert decoder in said["settings"]
    tokens = babeldraw.load(run).draw(TEXT, n=1, seed=0)[0].tokens[None]
    for checkpoint, picture in ((run, own), (decoder, other)):
        made = open_run(checkpoint).codec().decode(tokens)[0]
        assert np.abs(made.astype(int) - picture).max() <= 1  # in batches of another size
    assert np.abs(own.astype(int) - other).max() > 20


def test_an_export_takes_it_along(run, decoder, tmp_path, capsys):
    folder = str(tmp_path / "export")
    assert main(["export", "--checkpoint", run, "--output", folder, "--decoder", decoder]) == 0
    taken, _ = drawn(folder, tmp_path / "taken")
    given, _ = drawn(run, tmp_path / "given", "--decoder", decoder)
    np.testing.assert_array_equal(taken, given)
    words = ["sample", TEXT, "--checkpoint", folder, "--decoder", decoder]
    assert main([*words, f"--output={tmp_path / 'no'}"]) == 2
    assert "is an exported model, and --decoder changes the run" in capsys.readouterr().err


def test_what_does_not_go_with_it_is_refused(run, tmp_path, capsys):
    other = runs.write_decoder(tmp_path, seed=3)
    for given, sentence in (
        (other, "mean something else than those of"),
        (str(tmp_path / "nowhere"), "is not a run directory"),
    ):
        words = ["sample", TEXT, "--checkpoint", run, "--decoder", given]
        assert main([*words, f"--output={tmp_path / 'out'}"]) == 2
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
