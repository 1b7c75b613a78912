"""The MS-COCO task on a few made pictures, laid out as TFDS lays out the real ones."""

import itertools

import numpy as np
import pytest
import seqio
import tensorflow_datasets as tfds

from babeldraw.data import tasks, vocabulary
from babeldraw.data.sources.tfds_source import TfdsPictures
from babeldraw.data.streams import pipeline
from babeldraw.errors import UserError

LENGTHS = {"text": 16, "image": 64}
CAPTIONS = [f"{colour} {thing}" for colour in ("red", "blue") for thing in ("ball", "box", "cup")]


def fake_builder(folder):
    real = tfds.builder_cls("coco_captions")
    with tfds.core.registered.skip_registration():

        class Fake(real):
            name = "coco_captions"

            def _split_generators(self, dl_manager):
                return {
                    split: self._generate_examples(split)
                    for split in ("train", "restval", "val", "test")
                }

            def _generate_examples(self, split):
                for index in range(6):
                    image = np.full((80 + index, 120, 3), 30 * index, np.uint8)
                    image[:, :, 1] = np.arange(120)
                    captions = [{"id": k, "text": CAPTIONS[(index + k) % 6]} for k in range(5)]
                    yield (
                        index,
                        {
                            "image": image,
                            "image/filename": f"{split}{index}.jpg",
                            "image/id": index,
                            "captions": captions,
                            "objects": [],
                        },
                    )

    return Fake(config="2014", data_dir=str(folder))


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coco")
    fake_builder(folder).download_and_prepare()
    source = TfdsPictures(tasks.COCO_TFDS, tfds_data_dir=str(folder), splits=tasks.COCO_SPLITS)
    name = "coco_test_64"
    tasks.add_captioned_task(name, source, str(vocabulary.EMOJI_VOCABULARY), size=64)
    yield name
    seqio.TaskRegistry.remove(name)


def test_training_draws_captions_and_crops(task):
    dataset = pipeline.Dataset(task, LENGTHS, "train", batch_size=4, seed=1)
    batches = list(itertools.islice(dataset.batches(), 12))
    assert batches[0]["image"].shape == (4, 64, 64, 3)
    again = list(itertools.islice(dataset.batches(start_step=5), 7))
    for first, second in zip(batches[5:], again, strict=True):
        np.testing.assert_array_equal(first["image"], second["image"])
        np.testing.assert_array_equal(first["text_tokens"], second["text_tokens"])
    texts = {row.tobytes() for batch in batches for row in batch["text_tokens"]}
    images = {row.tobytes() for batch in batches for row in batch["image"]}
    assert len(texts) == 6  # every caption is drawn
    assert len(images) > 24  # 12 pictures, 4 times each: crops differ


def test_evaluation_takes_the_first_caption_and_the_centre(task):
    dataset = pipeline.Dataset(task, LENGTHS, "validation")
    examples = dataset.examples()
    assert sorted(examples["caption"]) == sorted(CAPTIONS)
    columns = examples["image"][:, 32, :, 1].astype(int)  # green rises from left to right
    centre = (columns[:, 31] + columns[:, 32]) / 2
    assert np.abs(centre - 59.5).max() < 3  # JPEG
    other = pipeline.Dataset(task, LENGTHS, "validation", seed=9).examples()
    np.testing.assert_array_equal(examples["image"], other["image"])


def test_captions_for_a_vocabulary(task):
    captions = list(tasks.task_captions(task))
    assert len(captions) == 12 * 5 and set(captions) == set(CAPTIONS)


def test_missing_dataset_names_the_command(tmp_path):
    source = TfdsPictures(tasks.COCO_TFDS, tfds_data_dir=str(tmp_path), splits=["train"])
    with pytest.raises(UserError, match="tfds build coco_captions"):
        source.num_input_examples("train")


def test_missing_vocabulary_names_the_command(task, tmp_path):
    source = seqio.TaskRegistry.get(task).source
    tasks.add_captioned_task("coco_without", source, str(tmp_path / "none.model"), size=64)
    try:
        with pytest.raises(UserError, match="babeldraw vocab"):
            pipeline.Dataset("coco_without", LENGTHS, "train").batches()
    finally:
        seqio.TaskRegistry.remove("coco_without")
