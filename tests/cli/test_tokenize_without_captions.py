"""Contract: pictures without captions become tokens; who learns texts leaves them out, by name."""

import pytest
from PIL import Image

from babeldraw.cli.main import main
from babeldraw.data import tasks, vocabulary
from babeldraw.data.streams import pipeline
from babeldraw.errors import UserError
from tests.cli import runs
from tests.models import tiny


def test_pictures_without_captions(tmp_path, monkeypatch):
    monkeypatch.delenv("BABELDRAW_VOCABULARY", raising=False)
    run = runs.write_tokenizer(tmp_path / "runs")
    folder, output = tmp_path / "pictures", tmp_path / "tokens"
    folder.mkdir()
    for index, image in enumerate(tiny.images(10, seed=4)):
        Image.fromarray(image).save(folder / f"{index:02d}.png")
    given = ["--checkpoint", run, "--task", f"folder:{folder}", "--output", str(output)]
    assert main(["tokenize-dataset", *given]) == 0
    source = tasks.find_task(f"tokens:{output}", "train").source
    assert source.num_input_examples("train") == 8
    (output / "vocabulary.model").write_bytes(vocabulary.EMOJI_VOCABULARY.read_bytes())
    dataset = pipeline.Dataset(f"tokens:{output}", {"text": 6, "image": (16, 20)}, batch_size=2)
    with pytest.raises(UserError, match="has no picture that can be read"):
        dataset.examples()
    assert len(source.skipped.kinds["no caption"]) == 8
