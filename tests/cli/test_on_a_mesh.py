"""Contract: `--config` spreads drawing, evaluation and captions over devices; results stay."""

import json

import numpy as np
import pytest
from PIL import Image

from babeldraw.cli.main import main
from babeldraw.cli.support import machines
from tests.cli import runs

MACHINE = """\
def get_config():
    return {"mesh": {"stage": 8}, "num_microbatches": 8, "sampling_mesh": {"data": 8}}
"""


@pytest.fixture
def machine(tmp_path):
    path = tmp_path / "eight.py"
    path.write_text(MACHINE)
    return f"--config={path}"


def call(*arguments):
    assert main([str(word) for word in arguments]) == 0


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_samples(tmp_path, machine):
    run = runs.write_text_to_image(tmp_path)
    coca = runs.write_coca(tmp_path)
    for name, more in (("one", []), ("eight", [machine])):
        line = ["sample", "--checkpoint", run, "--output", tmp_path / name, "--rerank", coca]
        call(*line, "--num_samples=3", *more, "a red apple")
    names = sorted(path.name for path in (tmp_path / "one").glob("*.png"))
    assert len(names) == 4
    for name in names:
        np.testing.assert_array_equal(
            pixels(tmp_path / "one" / name), pixels(tmp_path / "eight" / name)
        )


def test_evaluation_and_captions(tmp_path, machine, capsys, monkeypatch):
    monkeypatch.setattr(machines, "BATCH_SIZE", 2)  # 128 at a time take long
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        picture = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(picture).save(folder / f"{number}.png")
    tokenizer, coca = runs.write_tokenizer(tmp_path), runs.write_coca(tmp_path)
    reports, captions = [], []
    for name, more in (("one", []), ("eight", [machine])):
        output = tmp_path / name
        line = ["evaluate", "--checkpoint", tokenizer, "--images", folder, "--output", output]
        call(*line, *more)
        reports.append(json.loads((output / "report.json").read_text()))
        capsys.readouterr()
        call("caption", "--checkpoint", coca, "--images", folder, *more)
        captions.append(capsys.readouterr().out)
    one, eight = reports
    assert (one["batch_size"], eight["batch_size"]) == (2, 16)
    assert eight["tokenizer"] == one["tokenizer"]
    for name in ("psnr", "perceptual", "codebook_usage", "perplexity", "images"):
        assert eight[name] == pytest.approx(one[name], rel=1e-5)
    assert captions[0] == captions[1] and captions[0].count("\n") == 3


def test_several_processes_need_a_machine_file(tmp_path, capsys):
    (tmp_path / "settings.json").write_text("{}")
    line = [
        "sample",
        f"--checkpoint={tmp_path}",
        f"--output={tmp_path}",
        "--num_processes=2",
        "--process_id=0",
    ]
    assert main([*line, "--coordinator_address=localhost:1", "x"]) == 2
    assert "several processes need a machine file: give --config" in capsys.readouterr().err
