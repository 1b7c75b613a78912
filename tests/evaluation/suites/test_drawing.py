"""Contract: a suite's pictures are the same whatever was there, and are never mixed with others."""

import dataclasses
import json

import numpy as np
import pytest
from etils import epath
from PIL import Image

from babeldraw.errors import UserError
from babeldraw.evaluation.suites import drawing
from babeldraw.evaluation.suites.drawing import draw, jobs_of
from babeldraw.evaluation.suites.entries import Entry, make_suite
from babeldraw.sampling.groups import Rows

PROMPTS = [*(f"prompt {number}" for number in range(5)), "prompt 3"]
SUITE = make_suite("s", [Entry(f"e{number}", text) for number, text in enumerate(PROMPTS)])
CONDITIONS = np.array([[len(text), int(text[-1])] for text in PROMPTS], np.int32)
RECORD = {"suite": SUITE.digest, "seed": 7}


@dataclasses.dataclass
class Device:
    """In the place of a sampler: a picture says its prompt, its number and its group's sum."""

    together: int = 4
    stops_after: int = 99
    groups: list = dataclasses.field(default_factory=list)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def draw_rows(device, prompts, numbers, *, seed, shared, on_batch):
        assert device.together % shared == 0
        for first in range(0, len(prompts), device.together):
            if len(device.groups) == device.stops_after:
                raise KeyboardInterrupt
            group = prompts[first : first + device.together, 1]
            device.groups.append(group.tolist())
            pixels = [
                [prompt, number + seed, group.sum()]
                for prompt, number in zip(group, numbers[first:], strict=False)
            ]
            images = np.array(pixels, np.uint8)[:, None, None]
            on_batch(first, Rows(images, group[:, None], -1.0 * group))

    monkeypatch.setattr(drawing, "draw_rows", draw_rows)


def drawn(folder, device=None, suite=SUITE, conditions=CONDITIONS, record=RECORD):
    settings = {"num_samples": 2, "seed": 7, "folder": epath.Path(folder), "record": record}
    return draw(suite, device or Device(), conditions, **settings)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*.png")}


def test_a_prompt_that_comes_again_is_another_sample():
    assert [tuple(job) for job in jobs_of(SUITE, 2)][6:] == [
        *((3, 0, 0), (3, 1, 1)),
        *((4, 0, 0), (4, 1, 1)),
        *((5, 0, 2), (5, 1, 3)),
    ]


def test_files_say_what_they_are(tmp_path):
    found = drawn(tmp_path)
    assert found.fresh == 12 and len(contents(tmp_path)) == 12
    assert json.loads((tmp_path / "drawn.json").read_text()) == RECORD
    with Image.open(tmp_path / "pictures/00000/e5-1.png") as picture:
        assert np.asarray(picture).ravel().tolist() == [3, 10, 4 + 4 + 3 + 3]
        assert (picture.text["prompt"], picture.text["sample"]) == ("prompt 3", "3")
        assert json.loads(picture.text["settings"]) == {"seed": 7}


def test_what_was_stopped_ends_as_what_was_not(tmp_path):
    drawn(tmp_path / "whole")
    device = Device(stops_after=1)
    with pytest.raises(KeyboardInterrupt):
        drawn(tmp_path / "stopped", device)
    (tmp_path / "stopped/pictures/00000/e0-1.png").unlink()
    assert len(contents(tmp_path / "stopped")) == 3
    device = Device()
    again = drawn(tmp_path / "stopped", device)
    # The group of the picture that is gone is drawn as a whole; three of it were there.
    assert device.groups == [[0, 0, 1, 1], [2, 2, 3, 3], [4, 4, 3, 3]] and again.fresh == 9
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")
    device = Device()
    assert drawn(tmp_path / "stopped", device).fresh == 0 and device.groups == []


def test_shards_hold_so_many(tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "SHARD", 5)
    drawn(tmp_path)
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [
        "00000",
        "00001",
        "00002",
    ]
    assert drawn(tmp_path).fresh == 0


def test_other_pictures_are_not_mixed_in(tmp_path):
    drawn(tmp_path)
    with pytest.raises(UserError, match=r"drawn with another seed \(7, now 8\); name another"):
        drawn(tmp_path, record=RECORD | {"seed": 8})
    (tmp_path / "drawn.json").write_text("{")
    with pytest.raises(UserError, match=r"drawn\.json is damaged"):
        drawn(tmp_path)
