"""Contract: one command makes of a folder of pictures two runs and a report, and one goes on there.

Networks of a few thousand weights: what is learned is not looked at.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys

import pytest
from PIL import Image, ImageDraw

from babeldraw.cli.main import main

SMALL = [
    "--gin.PERCEPTUAL_WEIGHT=0.0",
    "--gin.REVIVE_EVERY=0",
    "--gin.EMA_DECAY=0.0",
    *(f"--gin.vit_vqgan.ViTVQGAN.{side}_width=16" for side in ("encoder", "decoder")),
    *(f"--gin.vit_vqgan.ViTVQGAN.{side}_layers=1" for side in ("encoder", "decoder")),
    *(f"--gin.encoder_decoder.EncoderDecoder.{name}=16" for name in ("d_model", "mlp_dim")),
    *(f"--gin.encoder_decoder.EncoderDecoder.{s}_layers=1" for s in ("encoder", "decoder")),
]
COLOURS = ("red", "green", "blue", "black")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """60 captioned pictures."""
    made = tmp_path_factory.mktemp("shapes")
    for index in range(60):
        colour, place = COLOURS[index % 4], 2 + index // 4
        image = Image.new("RGB", (40, 36), "white")
        ImageDraw.Draw(image).rectangle((place, 10, place + 10, 20), fill=colour)
        image.save(made / f"{index:02d}.png")
        (made / f"{index:02d}.txt").write_text(f"a {colour} box at {place}")
    return made


def command(folder, output, *more):
    return ["quickstart", "--data", f"folder:{folder}", "--output", str(output), *SMALL, *more]


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    """The output folder, and what was printed."""
    output = tmp_path_factory.mktemp("out")
    words = command(folder, output, "--gin.TRAIN_STEPS=20")
    done = subprocess.run(
        [sys.executable, "-c", "from babeldraw.cli.main import run_process as r; r()", *words],
        env={**os.environ, "BABELDRAW_VOCABULARY": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return output, done.stdout


@pytest.mark.slow
def test_runs_recipes_and_report(finished):
    output, said = finished
    assert "48 pictures to train on and 12 held out" in said
    report = json.loads((output / "report.json").read_text())
    assert report["retrieval"]["heldout_prompts"] == 12
    assert -1 < report["text_to_image"]["heldout_prompt_gap"] < 10
    assert "What was chosen" in (output / "report.html").read_text()
    assert (output / "samples.png").exists() and not (output / "compiled").exists()
    for stage in ("tokenizer", "text_to_image"):
        recipe = (output / stage / "recipe.gin").read_text()
        assert f"include 'gin/rungs/cpu_{stage}.gin'" in recipe
        assert "WARMUP_STEPS = 2\n" in recipe


@pytest.mark.slow
def test_the_printed_command_trains_on(finished):
    output, said = finished
    line = re.search(r"Train on, to twice the steps: (.*)", said)[1]
    variable, name, *words = shlex.split(line)
    assert name == "babeldraw"
    key, _, value = variable.partition("=")
    done = subprocess.run(
        [sys.executable, "-c", "from babeldraw.cli.main import run_process as r; r()", *words],
        env={**os.environ, key: value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = (output / "text_to_image" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == 40


@pytest.mark.slow
def test_the_minutes_decide_and_an_interrupted_one_goes_on(folder, tmp_path):
    """Killed in the tokenizer's steps; the second time no trial is made for it."""
    words = command(folder, tmp_path / "out", "--minutes=0.5", "--gin.LOG_EVERY=10")
    start = [sys.executable, "-c", "from babeldraw.cli.main import run_process as r; r()", *words]
    environment = {**os.environ, "BABELDRAW_VOCABULARY": "", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(start, stdout=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stdout:
            if re.match(r"step 0*10/\d{3}", line):  # of the run: the trial has 30 steps
                process.send_signal(signal.SIGTERM)
                break
        process.communicate()
    assert process.returncode == 75
    recipe = (tmp_path / "out/tokenizer/recipe.gin").read_text()
    assert re.search(r"# \d+ steps in 0.\d minutes.*a trial of 30 steps took", recipe)
    again = subprocess.run(start, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "resumed from step" in again.stdout
    assert again.stdout.count("a trial of 30 steps took") == 1  # of the second stage alone
    assert (tmp_path / "out/tokenizer/recipe.gin").read_text() == recipe


@pytest.mark.slow
def test_pictures_without_captions_train_the_tokenizer(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BABELDRAW_VOCABULARY", "")
    bare = tmp_path / "bare"
    bare.mkdir()
    for picture in folder.glob("*.png"):
        (bare / picture.name).write_bytes(picture.read_bytes())
    assert main(command(bare, tmp_path / "out", "--gin.TRAIN_STEPS=20")) == 0
    assert "no captions: the tokenizer alone is trained" in capsys.readouterr().out
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert "tokenizer" in report and "text_to_image" not in report
    assert not (tmp_path / "out/text_to_image").exists()


def test_what_cannot_be_is_said_before_any_training(folder, tmp_path, capsys):
    assert main(command(folder, tmp_path / "out", "--size=40")) == 2
    assert "give one of these" in capsys.readouterr().err
    assert main(command(tmp_path / "nowhere", tmp_path / "out2")) == 2
    assert "check the path" in capsys.readouterr().err
    assert not list(tmp_path.glob("out*/*"))  # nothing that a corrected command would stumble on
