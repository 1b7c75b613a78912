"""Contract: the quickstart of classes, cut short, leaves a report and a model that draws them."""

import json

import pytest
from PIL import Image, ImageDraw

from babeldraw.cli.main import main
from babeldraw.evaluation.reporting import reading, sections

SHORT = ["--gin.TRAIN_STEPS=60", "--gin.EVAL_EVERY=30", "--gin.LOG_EVERY=20"]
SMALL = [
    *("--gin.PERCEPTUAL_WEIGHT=0.0", "--gin.REVIVE_EVERY=0", "--gin.EMA_DECAY=0.0"),
    *(f"--gin.vit_vqgan.ViTVQGAN.{side}_width=16" for side in ("encoder", "decoder")),
    *(f"--gin.vit_vqgan.ViTVQGAN.{side}_layers=1" for side in ("encoder", "decoder")),
    *(f"--gin.image_decoder.ImageDecoder.{name}=16" for name in ("d_model", "mlp_dim")),
    "--gin.image_decoder.ImageDecoder.decoder_layers=1",
]


@pytest.mark.slow
def test_emoji_by_role(tmp_path, capsys):
    words = ["quickstart", "--classes", "--output", str(tmp_path), *SHORT]
    assert main(words) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["classes"]["drawn"] == 192 and len(report["classes"]["right_by_class"]) == 12
    assert 0 <= report["classes"]["right"] <= 1 == report["classes"]["heldout_real_right"]
    assert 0 < report["image_tokens"]["loss"] < 7
    page = (tmp_path / "report.html").read_text()
    assert "Drawn by class" in page and "A class is worth" in page
    run = tmp_path / "image_tokens"
    assert (run / "classes.txt").read_text().splitlines()[4] == "firefighter"
    rows = json.loads((run / "pictures" / "samples.json").read_text())["rows"]
    assert len({row["prompt"] for row in rows}) > 3  # of some classes, not of the first alone
    assert "Class gap" in sections.report([reading.read(str(run))])
    before = (run / "metrics.jsonl").read_text()
    assert main(words) == 0 and (run / "metrics.jsonl").read_text() == before
    assert main(["quickstart", "--output", str(tmp_path), *SHORT]) == 2
    assert "was begun with --classes: give the same" in capsys.readouterr().err


@pytest.mark.slow
def test_a_folder_of_folders(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("BABELDRAW_VOCABULARY", raising=False)
    folder, output = tmp_path / "shapes", tmp_path / "out"
    for index in range(60):
        colour = ("red", "green", "blue")[index % 3]
        (folder / colour).mkdir(parents=True, exist_ok=True)
        image = Image.new("RGB", (40, 36), "white")
        ImageDraw.Draw(image).rectangle((index // 3, 10, index // 3 + 10, 20), fill=colour)
        image.save(folder / colour / f"{index:02d}.png")
    words = ["quickstart", "--classes", f"--data=class_folder:{folder}", f"--output={output}"]
    assert main([*words, *SMALL, *SHORT]) == 0
    said = capsys.readouterr().out
    assert "3 classes by 'class', such as blue, green, red" in said
    assert f"babeldraw sample --class NAME --checkpoint={output}/image_tokens" in said
    report = json.loads((output / "report.json").read_text())
    assert report["classes"]["in_all"] == 3 and report["classes"]["drawn"] == 192


def test_what_cannot_be_is_said_before_any_training(tmp_path, capsys):
    made = tmp_path / "out"
    assert main(["quickstart", "--classes=style", "--output", str(made)]) == 2
    assert "give --classes alone" in capsys.readouterr().err
    words = ["quickstart", "--classes", "--data=emoji_people_32", "--output", str(made)]
    assert main(words) == 2
    assert "has classes by concept, style, role, gender, tone: say" in capsys.readouterr().err
    assert not list(made.glob("*"))
