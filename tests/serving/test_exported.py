"""Contract: an exported model is served as its run is, with the CoCa and the enlarger it brings."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from babeldraw import api
from babeldraw.cli.main import main
from babeldraw.cli.support import named
from babeldraw.serving.app import create_app
from babeldraw.serving.models import open_drawers
from babeldraw.serving.start import build
from tests.cli import runs
from tests.quick import compiled_quickly  # noqa: F401

SETTINGS = {"guidance_weight": 1.5, "cutoff": 0.1}


@pytest.fixture(scope="module")
def box(tmp_path_factory, compiled_quickly):  # noqa: F811
    """Where the package's models are, with one that has all parts."""
    folder = tmp_path_factory.mktemp("box")
    writers = ("text_to_image", "coca", "super_resolution")
    made = {name: str(getattr(runs, f"write_{name}")(folder)) for name in writers}
    line = ["export", "--checkpoint", made["text_to_image"], "--rerank", made["coca"]]
    line += ["--upscale", made["super_resolution"], "--output", str(folder / "emoji_model")]
    line += [f"--{name}={value}" for name, value in SETTINGS.items()]
    assert main(line) == 0
    return folder


@pytest.fixture(scope="module")
def asks(box):
    """Posts to a server of that model, found by its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(named, "BOX", box)
        served = build(["emoji"], batch_size=1)
    client = TestClient(create_app(served, ()), base_url="http://127.0.0.1")

    def ask(route, expected=200, **body):
        answer = client.post(f"/v1/{route}", json=body)
        assert answer.status_code == expected, answer.text
        return answer.json() if "stream" not in body else answer.text

    yield ask
    served.engine.close()


def picture(data):
    return Image.open(io.BytesIO(base64.b64decode(data["b64_json"])))


def test_it_answers_with_what_the_model_draws_orders_and_enlarges(asks, box):
    answer = asks("images/generations", prompt="a cook", n=2, seed=3, rerank=True)
    model = api.load(box / "emoji_model")
    expected = model.draw("a cook", n=2, seed=3)
    assert [one["number"] for one in answer["data"]] == [
        int(one.metadata["sample"]) for one in expected
    ]
    for one, other in zip(answer["data"], expected, strict=True):
        assert answer["size"] == "{}x{}".format(*other.image.size)
        difference = np.asarray(picture(one)).astype(int) - np.asarray(other.image)
        assert np.abs(difference).max() <= 1  # the two programs are compiled quickly
        assert one["similarity"] == pytest.approx(other.similarity, abs=1e-3)
        assert '"guidance_weight": 1.5' in picture(one).text["settings"]
    plain = asks("images/generations", prompt="a cook", seed=3, size="20x16", guidance_weight=1)
    assert picture(plain["data"][0]).size == (20, 16)
    streamed = asks("images/generations", prompt="a cook", stream=True)
    assert f'"size": "{answer["size"]}"' in streamed and "completed" in streamed
    refused = asks("images/generations", 400, prompt="a cook", size="1x1")
    assert f"20x16 or {answer['size']}" in refused["error"]["message"]
    assert asks("caption", images=[plain["data"][0]["b64_json"]])["data"][0]


def test_names_of_the_package_and_of_others_are_told_apart(box, monkeypatch):
    monkeypatch.setattr(named, "BOX", box)
    found = open_drawers([("a", "emoji"), ("b", str(box / "text_to_image"))])
    assert found["a"].run.defaults == SETTINGS and found["b"].run.defaults == {}
    assert found["a"].enlarged != found["b"].enlarged == (16, 20)
