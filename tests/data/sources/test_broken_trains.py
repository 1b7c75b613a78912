"""Contract: a run over pictures of which 2% are broken goes on to its end and loses no good one."""

import jax
import pytest

from babeldraw.data import tasks, vocabulary
from babeldraw.data.streams import pipeline
from babeldraw.training.loop import train
from babeldraw.training.machine import Machine
from tests.data import made_pictures
from tests.data.sources.test_own_pictures import FAULTS
from tests.objectives import tiny_runs

pytestmark = pytest.mark.slow  # compiles a train step


class Recorded:
    """A dataset that remembers which pictures it gave."""

    def __init__(self, dataset):
        self.dataset, self.batch_size, self.seen = dataset, dataset.batch_size, set()

    def batches(self, **settings):
        for batch in self.dataset.batches(**settings):
            self.seen |= {*made_pictures.colours(batch["image"])}
            yield batch


def test_a_run_over_broken_pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("BABELDRAW_VOCABULARY", str(vocabulary.EMOJI_VOCABULARY))
    good, captions = made_pictures.good_set(392, 20, 16)
    captions["p000.png"] = ["word " * 10_000]
    (tmp_path / "outside.png").write_bytes(made_pictures.picture(5))
    for name, (data, texts, _) in FAULTS.items():
        captions[name] = texts
        if data is not None:
            good[name] = data
    name = made_pictures.write("folder", tmp_path / "set", good, captions)
    dataset = Recorded(pipeline.Dataset(name, {"text": 6, "image": (16, 20)}, batch_size=8))
    train(
        tiny_runs.text_to_image(text_vocab_size=2048),
        model_dir=str(tmp_path / "run"),
        train_dataset=dataset,
        train_steps=100,  # two epochs and more
        machine=Machine(checkpoint_every=0),
        devices=jax.devices()[:1],
    )
    source = tasks.find_task(name, "train").source
    unreadable = {"empty", "not an image", "damaged", "too large"}
    listed = source.num_input_examples("train")
    broken = sum(len(names) for kind, names in source.skipped.kinds.items() if kind in unreadable)
    assert len(dataset.seen) == listed - broken
    assert {*source.skipped.kinds} >= {fault for *_, fault in FAULTS.values()} - unreadable
    assert broken  # some of them stand in the training split
