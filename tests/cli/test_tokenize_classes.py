"""Contract: tokens made beforehand keep the classes of their pictures, and one trains on them."""

import dataclasses

import jax
import numpy as np
from PIL import Image

from babeldraw.cli.main import main
from babeldraw.data.streams import pipeline
from babeldraw.training.keeping.checkpoints import load_tokenizer
from babeldraw.training.loop import train
from babeldraw.training.machine import Machine
from tests.cli import runs
from tests.models import tiny
from tests.objectives import tiny_runs

LENGTHS = {"image": (16, 20)}


def test_a_class_folder_through_the_tokenizer(tmp_path, monkeypatch):
    monkeypatch.delenv("BABELDRAW_VOCABULARY", raising=False)
    pictures, output = tmp_path / "pictures", tmp_path / "tokens"
    for index, image in enumerate(tiny.images(12, seed=4)):
        file = pictures / ("cat", "dog", "owl")[index % 3] / f"{index:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    (pictures / "cat" / "00.txt").write_text("a caption, which the others lack")
    run = runs.write_tokenizer(tmp_path)
    arguments = ["--checkpoint", run, "--task", f"class_folder:{pictures}", "--batch_size=4"]
    assert main(["tokenize-dataset", *arguments, "--output", str(output)]) == 0

    def of(task):
        return pipeline.Dataset(task, LENGTHS, batch_size=3, seed=2, class_feature="class")

    def batches(task):
        dataset = of(task)
        assert dataset.class_names() == ("cat", "dog", "owl")
        return list(dataset.batches(num_epochs=1))

    of_tokens, of_pictures = batches(f"tokens:{output}"), batches(f"class_folder:{pictures}")
    assert of_tokens[0].keys() == {"image_tokens", "class_id"} and len(of_tokens) == 3
    for one, other in zip(of_tokens, of_pictures, strict=True):
        np.testing.assert_array_equal(one["class_id"], other["class_id"])
    objective = dataclasses.replace(
        tiny_runs.image_tokens(codebook_size=13, num_classes=3),
        tokenizer_params=lambda: load_tokenizer(run),
        tokens_beforehand=True,
    )
    state = train(
        objective,
        model_dir=str(tmp_path / "trained"),
        train_dataset=of(f"tokens:{output}"),
        train_steps=1,
        machine=Machine(checkpoint_every=0),
        devices=jax.devices()[:1],
    )
    assert int(state.step) == 1
    assert (tmp_path / "trained" / "classes.txt").read_text() == "cat\ndog\nowl\n"
