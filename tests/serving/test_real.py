"""Contract: beside what is drawn of a known prompt stands the picture that it is known by."""

import base64
import dataclasses
import io
from types import SimpleNamespace

import httpx2
import numpy as np
import pytest
from PIL import Image

from babeldraw.cli.support.runs import Run
from babeldraw.data.streams.pipeline import Dataset
from babeldraw.errors import UserError
from babeldraw.serving import real
from babeldraw.serving.models import Drawer
from tests.serving.conftest import address, served_once


def written(folder, shades):
    for number, (caption, shade) in enumerate(shades):
        (folder / f"{number:02d}.txt").write_text(f"{caption}\n")
        Image.new("RGB", (20, 16), (shade,) * 3).save(folder / f"{number:02d}.png")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for split in ("train", "validation"):
        (folder / split).mkdir()
    written(folder / "train", [("a cook", 10), ("two  cooks", 20), ("a cook", 30)])
    written(folder / "validation", [("a king", 40)])
    lengths = {"text": 16, "image": (16, 20)}
    train, held_out = (
        Dataset(f"folder:{folder}", lengths, split=split) for split in ("train", "validation")
    )
    return SimpleNamespace(train_dataset=train, eval_dataset=held_out)


def test_the_first_picture_of_each_caption_trained_on_or_not(run):
    found = real.real_pictures(run, ["a king", "a cook", "two cooks", "a queen"], (16, 20))
    shades = {caption: image[0, 0, 0] for caption, image in found.items()}
    assert shades == {"a cook": 10, "two cooks": 20, "a king": 40}
    assert all(image.shape == (16, 20, 3) for image in found.values())


def test_of_large_data_no_more_than_the_beginning_is_read(run, monkeypatch):
    monkeypatch.setattr(real, "LOOKED_AT", 1)
    assert list(real.real_pictures(run, ["two cooks", "a king"], (16, 20))) == ["a king"]


def served_with(found):
    """The tiny model, which knows what is found."""

    class Known(Drawer):
        held_out = ("a king",)
        real = found

    return lambda served: dataclasses.replace(
        served, drawers={"tiny": Known("tiny", served.drawer(None).run, 0)}
    )


def test_the_server_shows_them(served, run):
    found = real.real_pictures(run, ["a king", "a cook"], (16, 20))
    host, port = address((), served_with(found))
    answer = httpx2.get(f"http://{host}:{port}/v1/models/tiny/examples", timeout=60).json()
    assert [(one["prompt"], one["held_out"]) for one in answer["data"]] == [
        ("a cook", False),
        ("a king", True),
    ]
    image = Image.open(io.BytesIO(base64.b64decode(answer["data"][1]["b64_json"])))
    np.testing.assert_array_equal(np.asarray(image), found["a king"])


def test_data_that_are_gone_are_not_missed(served, monkeypatch):
    drawer = served_once().drawer(None)
    assert isinstance(drawer.run, Run)

    def gone(*_):
        raise UserError("gone")

    monkeypatch.setattr("babeldraw.serving.models.real_pictures", gone)
    assert Drawer("tiny", drawer.run, 0).real == {}
