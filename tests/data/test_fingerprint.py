"""Contract: other data have another fingerprint, the same data the same one wherever they are."""

import shutil

from babeldraw.data.fingerprint import data_fingerprint
from babeldraw.data.streams.pipeline import Dataset
from tests.data import made_pictures


def write(folder, count):
    pictures, captions = made_pictures.good_set(count)
    made_pictures.write("folder", folder, pictures, captions)
    return f"folder:{folder}"


def test_a_folder_is_its_names(tmp_path):
    task = write(tmp_path / "one", 30)
    found = data_fingerprint(task, "train")
    assert found["task"] == task
    assert 20 < found["pictures"] <= 30
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert data_fingerprint(f"folder:{tmp_path / 'two'}", "train") == found | {
        "task": f"folder:{tmp_path / 'two'}"
    }
    assert data_fingerprint(write(tmp_path / "more", 31), "train")["names"] != found["names"]
    assert data_fingerprint(task, "validation")["names"] != found["names"]


def test_sets_of_tfds_are_their_versions(data_dir):
    dataset = Dataset("emoji_quickstart_32", {"text": 16, "image": 32})
    found = dataset.fingerprint()
    assert (found["pictures"], found["split"]) == (360, "train")
    assert len(found["names"]) == 64
    assert found["names"] != data_fingerprint("emoji_people_32", "train")["names"]
