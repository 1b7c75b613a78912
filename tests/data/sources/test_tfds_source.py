"""Contract: a TFDS set of pictures with texts is a task by its name, as its user prepared it."""

import io

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from babeldraw.cli.main import main
from babeldraw.data import tasks, vocabulary
from babeldraw.data.sources.tfds_source import TfdsPictures
from babeldraw.data.streams import pipeline
from babeldraw.errors import UserError


class MadePairs(tfds.core.GeneratorBasedBuilder):
    """Grey pictures of its own features' names; TFDS registers it."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "picture": tfds.features.Image(shape=(None, None, 1)),
                    "title": tfds.features.Text(),
                    "file_name": tfds.features.Text(),
                    "label": tfds.features.ClassLabel(num_classes=3),
                }
            )
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for index in range(100):
            image = np.full((20, 30, 1), index, np.uint8)
            named = {"title": f"thing {index}", "file_name": f"{index}.png", "label": 0}
            yield index, {"picture": image, **named}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made_tfds")
    MadePairs(data_dir=str(folder)).download_and_prepare()
    tfds.core.add_data_dir(folder)
    return folder


def test_a_set_by_its_name(folder, monkeypatch):
    monkeypatch.setenv("BABELDRAW_VOCABULARY", str(vocabulary.EMOJI_VOCABULARY))
    seen = []
    for split, count in (("train", 98), ("validation", 2)):
        dataset = pipeline.Dataset("tfds:made_pairs", {"text": 8, "image": 16}, split)
        found = dataset.examples()
        assert found["image"].shape == (count, 16, 16, 3)
        assert found["caption"].tolist() == [f"thing {i}" for i in found["image"][:, 3, 3, 1]]
        seen += list(tasks.task_captions("tfds:made_pairs:1.0.0", split))
    assert sorted(seen) == sorted(f"thing {index}" for index in range(100))


class MadePhotos(tfds.core.GeneratorBasedBuilder):
    """JPEGs with blue at the top, half of them stored upside down; one is cut in the middle."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "caption": tfds.features.Text(),
                }
            )
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for index in range(50):
            image = Image.new("RGB", (48, 32), (200, 40, 40))
            image.paste((40, 40, 200), (0, 0, 48, 8))
            exif = Image.Exif()
            if index % 2:
                image = image.transpose(Image.Transpose.ROTATE_180)
                exif[0x0112] = 3
            file = io.BytesIO()
            image.save(file, "JPEG", quality=95, exif=exif)
            data = file.getvalue()
            data = data[: len(data) // 2] if index == 17 else data
            yield index, {"image": io.BytesIO(data), "caption": f"a red wall {index}"}


def test_one_broken_picture_is_left_out_and_all_are_upright(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BABELDRAW_VOCABULARY", str(vocabulary.EMOJI_VOCABULARY))
    MadePhotos(data_dir=str(tmp_path)).download_and_prepare()
    tfds.core.add_data_dir(tmp_path)
    found = pipeline.Dataset("tfds:made_photos", {"text": 8, "image": 32}).examples()
    assert len(found["image"]) == 48 and "a red wall 17" not in found["caption"]
    assert (found["image"][:, 2, :, 2] > 150).all() and (found["image"][:, -2, :, 0] > 150).all()
    assert main(["data", "inspect", "tfds:made_photos", "--output", str(tmp_path / "s.png")]) == 0
    out = capsys.readouterr().out
    assert "48 pictures" in out and "1 damaged: " in out


def test_what_it_cannot_be(folder, tmp_path):
    for name in ("huggingface:a", "kaggle:a/b", "mlds:a/b:1.0.0"):
        with pytest.raises(UserError, match="whose code TFDS would download and run"):
            TfdsPictures(name)
    with pytest.raises(UserError, match="no data set 'no_such_set'"):
        tasks.find_task("tfds:no_such_set", "train")
    with pytest.raises(UserError, match="run `tfds build made_pairs`"):
        TfdsPictures("made_pairs:1.0.0", str(tmp_path)).num_input_examples("train")
    with pytest.raises(UserError, match="has no split 'test': choose one of train, validation"):
        tasks.find_task("tfds:made_pairs", "test")
