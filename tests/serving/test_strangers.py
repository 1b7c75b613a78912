"""Contract: clients and fuzzers that others wrote find nothing amiss. All of it is slow."""

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from babeldraw.serving.trainings import Trainings
from tests.serving.conftest import address
from tests.serving.test_trainings import FEW

pytestmark = pytest.mark.slow

FUZZED = 100
"""Requests of each kind at each route."""

JAVASCRIPT = """
import OpenAI, { toFile } from "openai";
import fs from "fs";
const client = new OpenAI({ baseURL: process.argv[2] + "/v1", apiKey: "none" });
const made = await client.images.generate({ model: "tiny", prompt: "a cook", n: 2, seed: 3 });
const image = Buffer.from(made.data[1].b64_json, "base64");
fs.writeFileSync("made.png", image);
const file = await toFile(image, "made.png", { type: "image/png" });
const edited = await client.images.edit({ image: file, prompt: "a pilot", rows: 1 });
const stream = await client.images.generate({ prompt: "a cook", stream: true, partial_images: 2 });
const kinds = [];
for await (const event of stream) kinds.push(event.type);
console.log(JSON.stringify({ pictures: made.data.length, edited: edited.data.length, kinds }));
"""


@pytest.fixture
def trained(served, tmp_path):
    """The address of a server that trains, too."""
    engine, metrics = served.engine, served.metrics
    opened = Trainings(str(tmp_path / "personal"), 3, served.drawers, engine, metrics, FEW)
    host, port = address((), lambda served: dataclasses.replace(served, trainings=opened))
    yield f"http://{host}:{port}"
    opened.close()


def test_a_fuzzer_finds_no_error_of_the_server(trained, tmp_path):
    url = trained
    command = [str(Path(sys.executable).with_name("schemathesis"))]
    done = subprocess.run(
        [
            *(*command, "run", f"{url}/openapi.json", f"--max-examples={FUZZED}"),
            *("--checks=not_a_server_error", "--request-timeout=60", "--seed=0"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert 'status="500"' not in httpx2.get(f"{url}/metrics").text


@pytest.mark.skipif(shutil.which("npm") is None, reason="there is no npm here")
def test_the_javascript_client(url, tmp_path):
    installed = subprocess.run(
        ["npm", "install", "--silent", "--no-fund", "--no-audit", "openai@7.59.0"],
        cwd=tmp_path,
        capture_output=True,
    )
    if installed.returncode:
        pytest.skip("npm cannot install openai here")
    (tmp_path / "client.mjs").write_text(JAVASCRIPT)
    done = subprocess.run(["node", "client.mjs", url], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    events = ["partial_image", "partial_image", "completed"]
    kinds = ",".join(f'"image_generation.{event}"' for event in events)
    assert done.stdout.strip() == f'{{"pictures":2,"edited":1,"kinds":[{kinds}]}}'
    assert (tmp_path / "made.png").read_bytes().startswith(b"\x89PNG")
