"""Contract: a client's pictures become its own model, in a process that ends with the server."""

import dataclasses
import hashlib
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import numpy as np
import openai
import pytest
from PIL import Image

from babeldraw.cli.support.runs import open_run
from babeldraw.errors import UserError
from babeldraw.serving import trainings
from babeldraw.serving.trainings import Trainings
from tests.quick import children_compile_quickly  # noqa: F401
from tests.serving.conftest import address, folder, served_once
from tests.serving.test_api import drawn, pixels

KEYS = ("the-key-of-the-first-client", "the-key-of-the-second-client")
FEW = ("--steps=2", "--prior=none", "--gin.BATCH_SIZE=8", "--gin.EVAL_EVERY=0")


pytestmark = pytest.mark.usefixtures("children_compile_quickly")


@pytest.fixture(scope="module", autouse=True)
def data_of_the_networks_size(served):
    settings = folder() / "text_to_image" / "settings.json"
    before = settings.read_text()
    settings.write_text(json.dumps(json.loads(before) | {"eval_dataset": None}))
    yield
    settings.write_text(before)


def made(place, quota=1):
    served = served_once()
    return Trainings(str(place), quota, served.drawers, served.engine, served.metrics, FEW)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("personal")


_REOPENED = {}


def with_trainings(served):
    return dataclasses.replace(served, trainings=_REOPENED["trainings"])


@pytest.fixture(scope="module")
def client(place):
    """Of a server that is stopped as soon as a training is asked for, and begun again."""
    images = [(np.full((12, 30, 3), 40 * n, np.uint8), "") for n in range(5)]
    first = made(place)
    owner = hashlib.sha256(KEYS[0].encode()).hexdigest()[:16]
    one = first.submit(owner, served_once().drawer(None), "crayon zebra", images)
    first.close()
    record = json.loads((place / one.id / "training.json").read_text())
    assert record["status"] in ("queued", "running")
    _REOPENED["trainings"] = made(place)
    host, port = address(KEYS, with_trainings)
    yield f"http://{host}:{port}", one.id
    _REOPENED["trainings"].close()


def test_what_one_server_began_the_next_one_ends(client, place):
    url, name = client
    first, second = (openai.OpenAI(base_url=f"{url}/v1", api_key=key) for key in KEYS)
    until = time.monotonic() + 180
    while (job := first.fine_tuning.jobs.retrieve(name)).status in ("queued", "running"):
        assert time.monotonic() < until
        time.sleep(0.2)
    assert job.status == "succeeded", (place / name / "log.txt").read_text()[-2000:]
    assert (job.step, job.steps) == (2, 2)
    assert not (place / name / "pictures").exists() and not (place / name / "run").exists()
    model = job.fine_tuned_model
    assert model.startswith("tiny:crayon-zebra:")

    # It draws what `babeldraw sample --lora` draws, without a program of its own.
    changes = str(place / name / "lora.safetensors")
    sampler = open_run(str(folder() / "text_to_image"), added=((changes, 1.0),)).sampler()
    drawer = served_once().drawer(None)
    texts, _ = drawer.read(["a crayon zebra"])
    asked = {"prompt": "a crayon zebra", "extra_body": {"seed": 3}}
    answer = first.images.generate(model=model, **asked)
    found = pixels(answer.data[0].b64_json)
    np.testing.assert_array_equal(found, sampler(texts, seed=3)[0, 0])
    assert (found != drawn(served_once(), "a crayon zebra", seed=3)).any()
    described = first.models.retrieve(model)
    assert described.examples[0] == "crayon zebra" and not described.learns

    # It is of the one who asked for it.
    assert [one.id for one in second.models.list()] == ["tiny"]
    assert [one.id for one in first.models.list()] == ["tiny", model]
    for refused in (
        lambda: second.images.generate(model=model, prompt="a zebra"),
        lambda: second.models.delete(model),
        lambda: second.fine_tuning.jobs.retrieve(name),
        lambda: second.fine_tuning.jobs.cancel(name),
    ):
        with pytest.raises(openai.NotFoundError):
            refused()
    assert not second.fine_tuning.jobs.list().data

    # One is as many as it may have; deleted, nothing of it is left.
    answer = learn(url, KEYS[0])
    assert answer.status_code == 429 and "of 1 that you may have" in answer.text
    assert first.models.delete(model).deleted
    assert not (place / name).exists()
    assert [one.id for one in first.models.list()] == ["tiny"]


def learn(url, key, count=5, picture=None, **fields):
    data = picture or png()
    files = [("image", (f"../../{n}.png", data)) for n in range(count)]
    return httpx2.post(
        f"{url}/v1/fine_tuning/jobs",
        files=files,
        data={"word": "a zebra", **fields},
        headers={"Authorization": f"Bearer {key}"},
        timeout=60,
    )


def png():
    file = io.BytesIO()
    Image.new("RGB", (30, 20), (9, 90, 190)).save(file, "PNG")
    return file.getvalue()


def test_a_training_that_runs_is_cancelled_and_its_pictures_are_gone(client, place):
    url, _ = client
    job = learn(url, KEYS[1], caption=["one", "", "", "", "five"]).json()
    texts = [file.read_text() for file in sorted((place / job["id"]).glob("pictures/*.txt"))]
    assert texts == ["one\n", "five\n"]
    second = openai.OpenAI(base_url=f"{url}/v1", api_key=KEYS[1])
    process = running(job["id"])
    assert second.fine_tuning.jobs.cancel(job["id"]).status == "cancelled"
    assert process.wait(20) == -signal.SIGKILL
    until = time.monotonic() + 20
    while (place / job["id"] / "pictures").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    assert second.fine_tuning.jobs.cancel(job["id"]).status == "cancelled"  # as it was
    assert 'babeldraw_trainings_total{status="cancelled"} 1.0' in metrics(url)


def running(name):
    until = time.monotonic() + 60
    while (process := _REOPENED["trainings"]._process) is None or name not in str(process.args):
        assert time.monotonic() < until
        time.sleep(0.01)
    return process


def metrics(url):
    return httpx2.get(f"{url}/metrics", headers={"Authorization": f"Bearer {KEYS[0]}"}).text


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"count": 4}, "there are 4 pictures; give 5 to 50"),
        ({"count": 51}, "there are 51 pictures; give 5 to 50"),
        ({"word": "..."}, "a word has letters"),
        ({"word": ""}, "word"),
        ({"word": "z" * 61}, "word"),
        ({"picture": b"no picture"}, "the picture"),
        ({"caption": ["a"]}, "5 pictures and 1 captions"),
        ({"steps": "100000"}, "steps"),
        ({"word": ["a", "b"]}, "there twice"),
        ({"model": "nobody"}, "this server has tiny"),
    ],
)
def test_what_is_no_training(client, asked, said, place):
    url, _ = client
    before = sorted(place.iterdir())
    answer = learn(url, KEYS[1], **asked)
    assert answer.status_code in (400, 404) and said in answer.json()["error"]["message"]
    assert sorted(place.iterdir()) == before


def test_a_server_that_does_not_train_says_so(url):
    answer = learn(url, "none")
    assert answer.status_code == 404 and "--allow-training" in answer.text
    assert not httpx2.get(f"{url}/v1/models/tiny").json()["learns"]


def test_a_training_that_fails_is_told_and_leaves_no_pictures(tmp_path):
    served = served_once()
    wrong = ("--no_such_setting",)
    failing = Trainings(str(tmp_path), 3, served.drawers, served.engine, served.metrics, wrong)
    one = failing.submit("", served.drawer(None), "a zebra", [(np.zeros((9, 9, 3), np.uint8), "")])
    until = time.monotonic() + 120
    while failing.find(one.id, "").is_open:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert failing.find(one.id, "").status == "failed"
    failing.close()
    assert not (tmp_path / one.id / "pictures").exists()
    assert "--no_such_setting" in (tmp_path / one.id / "log.txt").read_text()


def test_records_that_are_none_are_left_out(tmp_path, caplog):
    for name, text in (("ftjob-a", "{"), ("ftjob-b", '{"id": 1}'), ("ftjob-c", "[]")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "training.json").write_text(text)
    opened = made(tmp_path)
    opened.close()
    assert not opened.of("") and caplog.text.count("no record of a training") == 3


def test_models_that_cannot_learn(tmp_path):
    served = served_once()
    with pytest.raises(UserError, match="--allow-training needs a text-to-image model"):
        Trainings(str(tmp_path / "a"), 3, {}, served.engine, served.metrics)
    assert not Path(tmp_path / "a").exists()


def test_as_many_wait_as_may(tmp_path, monkeypatch):
    monkeypatch.setattr(trainings, "MOST_WAITING", 0)
    opened = made(tmp_path)
    with pytest.raises(Exception, match="try again in"):
        opened.submit("", served_once().drawer(None), "a zebra", [])
    opened.close()
    assert [*tmp_path.iterdir()] == [tmp_path / ".babeldraw-output"]


def test_what_ends_by_itself_ends_as_it_would_alone():
    command = [sys.executable, "-m", "babeldraw.serving.learning", "finetune", "--help"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.wait(60) == 0  # while its input is open
        assert b"--word" in process.stdout.read()


def test_it_ends_with_its_server():
    """A command that nothing else would end: when its input does."""
    model = f"--model={folder()}/text_to_image"
    command = [sys.executable, "-m", "babeldraw.serving.learning", "serve", model, "--port=0"]
    left = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    assert left.returncode in (-signal.SIGTERM, 0)  # 0: it served already, and ended cleanly
