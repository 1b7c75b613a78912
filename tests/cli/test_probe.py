"""Contract: a table, probe.json, probe.npz and probe.png of a run and a task with classes."""

import json

import numpy as np
import pytest
from PIL import Image

from babeldraw.cli.main import main
from tests.cli import runs
from tests.models import tiny


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """Noise, but for a corner that tells the class; three of 16 are apart for validation."""
    folder = tmp_path_factory.mktemp("pictures")
    for split, count in (("train", 16), ("test", 9)):
        for index, image in enumerate(tiny.images(count, seed=count)):
            name = ("cat", "dog")[index % 2]
            image[:8, :8] = 255 * (index % 2)
            file = folder / split / name / f"{index:02d}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(file)
    return f"class_folder:{folder}"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.write_text_to_image(tmp_path_factory.mktemp("runs"))


@pytest.fixture(autouse=True)
def no_vocabulary(monkeypatch):
    monkeypatch.delenv("BABELDRAW_VOCABULARY", raising=False)


def probe(run, task, output, *arguments):
    flags = ["--task", task, "--class_feature=class", "--split=test", "--batch_size=8"]
    assert main(["probe", "--checkpoint", run, *flags, "--output", str(output), *arguments]) == 0
    return json.loads((output / "probe.json").read_text())


def test_a_text_to_image_run(run, task, tmp_path, capsys, monkeypatch):
    # Its own data have pictures of 32 px, and its tokenizer reads those of the task.
    with runs.changed_settings(run) as settings:
        for name in ("train_dataset", "eval_dataset"):
            settings[name]["task_feature_lengths"]["image"] = [16, 20]
    found = probe(run, task, tmp_path / "out", "--save_features")
    assert list(found["networks"]) == ["decoder", "tokenizer", "pixels"]
    assert found["classes"] == ["cat", "dog"] and found["pictures"] == {"train": 13, "heldout": 9}
    assert found["networks"]["pixels"]["accuracy"] == [1.0] and found["chance"] == 5 / 9
    shown = capsys.readouterr().out
    assert "class (2 classes) of 9 pictures of class_folder:" in shown
    assert "decoder, block 1 of 1 " in shown and "pixels " in shown
    assert (tmp_path / "out" / "probe.png").exists()

    with np.load(tmp_path / "out" / "features.npz") as arrays:
        assert arrays["train/decoder"].shape == (13, 1, 16)
        assert arrays["heldout/labels"].tolist() == [0] * 5 + [1] * 4
    monkeypatch.setattr("babeldraw.cli.probe._read", None)  # what is kept is read again
    assert probe(run, task, tmp_path / "out", "--save_features") == found


def refused(capsys, *arguments):
    assert main(["probe", *map(str, arguments)]) == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_what_cannot_be_done(run, task, tmp_path, capsys):
    asked = ("--checkpoint", run, "--task", task)
    assert "was trained without classes: say what tells them" in refused(capsys, *asked)
    message = refused(capsys, *asked, "--class_feature=label", "--split=test")
    assert "has no classes by CLASS_FEATURE = 'label': set it to 'class'" in message
    message = refused(capsys, *asked, "--class_feature=class", "--split=train")
    assert "trained and measured on the same split, 'train'" in message
    upscaler = runs.write_super_resolution(tmp_path)
    flags = ("--class_feature=class", "--split=test")
    message = refused(capsys, "--checkpoint", upscaler, *asked[2:], *flags)
    assert "objective SuperResolution, which has no blocks that read a picture" in message
