"""Contract: FIT, BACKGROUND, ZOOM and FLIP reach every reader of a task, and a run knows them."""

import dataclasses
import io
import json

import numpy as np
import pytest
from PIL import Image

from babeldraw.data import tasks, vocabulary
from babeldraw.data.picture_files.images import ImageFolder
from babeldraw.data.picture_files.view import View
from babeldraw.data.sources import token_set
from babeldraw.data.streams import pipeline, streamed
from babeldraw.errors import UserError
from babeldraw.training.keeping import settings
from tests.data import made_pictures

LENGTHS = {"text": 12, "image": (16, 24)}
GROUND = (16, 32, 255)


@pytest.fixture(autouse=True)
def vocabulary_file(monkeypatch):
    monkeypatch.setenv("BABELDRAW_VOCABULARY", str(vocabulary.EMOJI_VOCABULARY))


def write(folder, kind="folder", captions=()):
    """20 pictures of 80 x 20, transparent but for a red end on the right."""
    image = np.zeros((20, 80, 4), np.uint8)
    image[:, 60:] = (255, 0, 0, 255)
    file = io.BytesIO()
    Image.fromarray(image, "RGBA").save(file, "PNG")
    names = [f"{index:02d}.png" for index in range(20)]
    texts = {name: list(captions) or [f"thing {name}"] for name in names}
    return made_pictures.write(kind, folder, dict.fromkeys(names, file.getvalue()), texts)


@pytest.mark.parametrize("kind", ["folder", "webdataset"])
def test_all_paths_see_the_same(kind, tmp_path):
    name = write(tmp_path / "set", kind)
    seen = {"fit": "pad", "background": "#1020ff"}
    dataset = pipeline.Dataset(name, LENGTHS, "validation", **seen)
    ours = dataset.examples()["image"]
    assert ours.shape == (4, 16, 24, 3)
    assert (ours[0, :5] == GROUND).all() and (ours[0, 6:10, 20:] == (255, 0, 0)).all()
    assert (ours[0, 6:10, :17] == GROUND).all()  # what was transparent
    provider = tasks.find_task(name, "validation", view=View(**seen))
    np.testing.assert_array_equal(ours, streamed.examples(provider, LENGTHS, "validation")["image"])
    batch = next(dataclasses.replace(dataset, batch_size=4, shuffle=False).batches())
    np.testing.assert_array_equal(ours, batch["image"])
    if kind == "folder":
        read = [image for _, image in ImageFolder(tmp_path / "set", (16, 24), View(**seen))]
        np.testing.assert_array_equal(ours[0], read[0])
    cropped = pipeline.Dataset(name, LENGTHS, "validation").examples()["image"]
    assert (cropped == 255).all()  # the middle of it, on white


def test_a_registered_task_of_photographs_is_padded_too():
    view = View("pad", "black", zoom=1.5, flip=True)
    task = tasks._as_seen("coco_captions_256", view)
    example = {
        "image": np.full((128, 256, 3), 200, np.uint8),
        "captions": {"text": np.array([b"a"], object)},
        "augment": False,
    }
    image = task.row(example, {"image": 256}, np.random.default_rng(0))["image"]
    assert (image[:64] == 0).all() and (image[64:192] == 200).all()
    assert tasks.find_task("coco_captions_256", "train") is not task


def test_pictures_that_are_ready_made():
    name, lengths = "emoji_quickstart_32", {"text": 16, "image": 32}
    plain = pipeline.Dataset(name, lengths, "heldout_people")
    padded = dataclasses.replace(plain, fit="pad", background="black")
    np.testing.assert_array_equal(next(plain.batches())["image"], next(padded.batches())["image"])
    for other in ({"flip": True}, {"zoom": 1.0}):
        with pytest.raises(
            UserError, match=r"emoji_quickstart_32 are ready-made.*FLIP would change"
        ):
            dataclasses.replace(plain, **other).batches()


def test_flips_and_zooms_are_a_function_of_seed_and_position(tmp_path):
    name = write(tmp_path / "set", captions=["a thing"])
    told = write(tmp_path / "told", captions=["a thing", "its left side"])
    dataset = pipeline.Dataset(name, {"text": 12, "image": 24}, batch_size=16, fit="pad", zoom=1.0)
    plain = next(dataset.batches())["image"]
    mirroring = dataclasses.replace(dataset, flip=True)
    mirrored = next(mirroring.batches())["image"]
    same = [bool((a == b).all()) for a, b in zip(plain, mirrored, strict=True)]
    assert 2 < sum(same) < 14
    for image, flipped, equal in zip(plain, mirrored, same, strict=True):
        np.testing.assert_array_equal(image if equal else image[:, ::-1], flipped)
    later = next(mirroring.batches(start_step=1))["image"]
    both = mirroring.batches()
    next(both)
    np.testing.assert_array_equal(next(both)["image"], later)
    shares = [
        next(mirroring.batches(process_index=host, process_count=2))["image"] for host in (0, 1)
    ]
    np.testing.assert_array_equal(np.concatenate(shares), mirrored)
    never = dataclasses.replace(mirroring, mixture_or_task_name=told)
    whole = dataclasses.replace(never, flip=False)
    np.testing.assert_array_equal(next(never.batches())["image"], next(whole.batches())["image"])


def test_a_run_knows_how_its_pictures_came(tmp_path):
    name = write(tmp_path / "set")
    plain = pipeline.Dataset(name, LENGTHS)
    padded = dataclasses.replace(plain, fit="pad", background="black", flip=True)
    assert "fit" not in plain.fingerprint()
    assert padded.fingerprint() == plain.fingerprint() | {"fit": "pad", "background": "black"}
    known = {settings.class_name(pipeline.Dataset): pipeline.Dataset}
    kept = json.loads(json.dumps(settings.to_data(padded)))
    assert settings.from_data(kept, known, "train_dataset") == padded
    for key in ("fit", "background", "zoom", "flip"):
        del kept[key]  # as runs of before have it
    assert settings.from_data(kept, known, "train_dataset").view == View()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"fit": "crop"}, "FIT is crop and BACKGROUND black, but .* FIT=pad and BACKGROUND=black"),
        ({"background": "white"}, "BACKGROUND white, but"),
        ({"flip": True}, "ZOOM and FLIP change pictures"),
        ({"zoom": 2.0}, "ZOOM and FLIP change pictures"),
    ],
)
def test_tokens_are_of_pictures_that_came_one_way(tmp_path, asked, message):
    made = token_set.Manifest(
        "a", "b", (16, 24), (2, 3), 1, {"train": 1}, {"train": 1}, "pad", "black"
    )
    made.write(tmp_path)
    assert token_set.Manifest.read(tmp_path) == made
    dataset = pipeline.Dataset(f"tokens:{tmp_path}", LENGTHS, fit="pad", background="black")
    assert dataset._lengths(dataset._provider()) == {"text": 12, "image_tokens": 6}
    other = dataclasses.replace(dataset, **asked)
    with pytest.raises(UserError, match=message):
        other._lengths(other._provider())
    older = json.loads((tmp_path / token_set.MANIFEST).read_text())
    del older["fit"], older["background"]
    (tmp_path / token_set.MANIFEST).write_text(json.dumps(older))
    assert token_set.Manifest.read(tmp_path).fit == "crop"


def test_one_length_of_texts():
    with pytest.raises(UserError, match="several lengths of 'text'"):
        pipeline.Dataset("emoji_32", {"text": (1, 2), "image": 32}).batches()
