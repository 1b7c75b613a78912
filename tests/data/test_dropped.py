"""Contract: training pictures that stand in an evaluation set are found, listed and left out."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from babeldraw.cli.main import main
from babeldraw.data import dropped, tasks
from babeldraw.data.sources import names as sources
from babeldraw.errors import UserError
from tests.data import made_pictures


def scene(seed):
    """Smooth, and unlike the others."""
    noise = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    return Image.fromarray(noise).resize((120, 90), Image.Resampling.BICUBIC)


def encoded(image, format, **settings):
    file = io.BytesIO()
    image.save(file, format, **settings)
    return file.getvalue()


def write(folder, images):
    return made_pictures.write(
        "folder",
        folder,
        images,
        {name: ["words"] for name in images},
    )


@pytest.fixture
def sets(tmp_path):
    """40 pictures, of which 3 stand in another set, saved anew or smaller or brighter."""
    images = {f"{i:02d}.png": encoded(scene(i), "PNG") for i in range(40)}
    held_out = {
        "a.jpg": encoded(scene(3), "JPEG", quality=60),
        "b.png": encoded(scene(20).resize((60, 45)), "PNG"),
        "c.png": encoded(scene(31).point(lambda value: min(255, value + 3)), "PNG"),
        "d.png": encoded(scene(99), "PNG"),
    }
    return write(tmp_path / "train", images), write(tmp_path / "held_out", held_out)


def training_names(name):
    task = sources.open_task(name)  # anew: `find_task` keeps what it has listed
    return {picture.name for picture in task.source.pictures("train")}, task.source


def test_copies_leave_the_training_split(sets, capsys):
    train, held_out = sets
    before, _ = training_names(train)
    copies = before & {"03.png", "20.png", "31.png"}
    assert len(copies) >= 2  # the others are in its own validation split
    assert main(["data", "dedup", train, "--against", held_out]) == 0
    assert f"{len(copies)} training pictures are left out" in capsys.readouterr().out
    after, source = training_names(train)
    assert before - after == copies
    assert {*source.skipped.kinds["in an evaluation set"]} == copies
    assert source.num_input_examples("validation") == 8  # untouched


def test_a_second_list_adds_to_the_first(sets):
    train, held_out = sets
    first, path = dropped.drop_copies(train, [held_out])
    path.write_text(json.dumps([*first, "39.png"]))
    tasks._open.cache_clear()
    again, _ = dropped.drop_copies(train, [held_out])
    assert again == []  # they are out already
    assert json.loads(path.read_text()) == sorted([*first, "39.png"])


def test_against_its_own_validation(tmp_path):
    images = {f"{i:02d}.png": encoded(scene(i), "PNG") for i in range(40)}
    name = write(tmp_path, images)
    training, _ = training_names(name)
    copied, twin = sorted(training)[0], sorted({*images} - training)[0]
    (tmp_path / copied).write_bytes(images[twin])
    tasks._open.cache_clear()
    assert dropped.drop_copies(name, [name])[0] == [copied]


def test_what_cannot_be_done(sets, tmp_path):
    train, held_out = sets
    with pytest.raises(UserError, match="no task of your own pictures"):
        dropped.drop_copies("emoji_quickstart_32", [held_out])
    (tmp_path / "train" / "dropped.json").write_text('{"a": 1}')
    with pytest.raises(UserError, match=r"dropped\.json cannot be read \(it is no list of names\)"):
        sources.open_task(train).source.pictures("train")


def test_pictures_of_classes_need_no_captions(tmp_path):
    for index in range(20):
        file = tmp_path / "set" / "ab"[index % 2] / f"{index:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        scene(1 if index == 19 else index).save(file)
    name = f"class_folder:{tmp_path / 'set'}"
    source = tasks.find_pictures(name, "train").source
    assert "b/01.png" in [picture.name for picture in source.pictures("validation")]
    assert dropped.drop_copies(name, [name])[0] == ["b/19.png"]
