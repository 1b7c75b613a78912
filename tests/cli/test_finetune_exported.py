"""Contract: an exported model learns a word as its run does, and takes what was learned."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from babeldraw.cli.main import main
from babeldraw.cli.support import exported_runs
from babeldraw.cli.support.models import open_model
from babeldraw.cli.support.runs import open_run
from babeldraw.errors import UserError
from babeldraw.pieces import encode
from babeldraw.training.keeping.manifest import Manifest
from babeldraw.training.keeping.prompts import NAME, Prompts, as_file
from tests.cli import runs
from tests.cli.test_finetune import (  # noqa: F401
    base,
    files_of,
    finetune,
    own_vocabulary_variable,
    pictures,
)


@pytest.fixture(scope="module")
def exported(base, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("exported") / "model"
    known = Prompts({"task": "folder:/home/me/cats"}, 3, True, ["a cook"], [], {"a": 2, "cook": 1})
    (Path(base) / NAME).write_bytes(as_file(known))
    assert main(["export", "--checkpoint", base, "--output", str(folder)]) == 0
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("BABELDRAW_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


def test_it_says_how_it_was_trained_and_not_where(exported, base, monkeypatch):  # noqa: F811
    training = json.loads((exported / "config.json").read_text())["training"]
    assert training["task"] == "emoji_quickstart_32" and training["learning_rate"] == 1e-3
    texts = [path for path in exported.iterdir() if path.suffix in (".json", ".md", ".txt")]
    assert exported / NAME in texts
    assert not [path for path in texts if "/home/me" in path.read_text()]
    run = open_run(base)
    for name, shown in (("folder:/home/me/cats", ""), ("tokens:/gone", ""), ("a", "a")):
        run.train_dataset.__dict__["mixture_or_task_name"] = name
        assert exported_runs.training_of(run)["task"] == shown
        manifest = Manifest({"task": name, "split": "train"}, None, {}, {})
        monkeypatch.setattr(exported_runs, "read_manifest", lambda directory, m=manifest: m)
        said = exported_runs.data_of(run)
        assert said == {"task": shown or "its maker's own pictures", "split": "train"}


def test_it_learns_a_word_and_draws_with_it(exported, pictures, tmp_path, capsys):  # noqa: F811
    before = files_of(exported)
    output = tmp_path / "lora"
    words = ["--word", "crayon zebra", "--lora", "2", "--steps", "2", "--prior", "none"]
    assert finetune(str(exported), pictures, output, *words) == 0
    assert files_of(exported) == before
    file = str(output / "lora.safetensors")
    assert f"--checkpoint {exported} --lora {file} 1" in capsys.readouterr().out
    copy = exported_runs.run_of(str(exported))
    asked = [open_model(name, added=((file, 2.0),)) for name in (str(exported), copy)]
    texts = encode(["a crayon zebra"], asked[0].vocabulary, 16)
    drawn = [one.sampler().generate(texts, num_samples=4) for one in asked]
    np.testing.assert_array_equal(drawn[0].tokens, drawn[1].tokens)
    plain = open_model(str(exported)).sampler().generate(texts, num_samples=4)
    assert (plain.scores != drawn[0].scores).any()
    drawn = main(["sample", "a crayon zebra", "--checkpoint", str(exported), "--lora", file, "1",
                  "--output", str(tmp_path / "drawn")])  # fmt: skip
    assert drawn == 0


def test_all_of_it_goes_on_and_its_decoder(exported, pictures, tmp_path):  # noqa: F811
    words = ["--word", "crayon zebra", "--steps", "2", "--decoder", "2", "--prior", "none"]
    assert finetune(str(exported), pictures, tmp_path / "all", *words) == 0
    assert open_run(str(tmp_path / "all")).step == 2


def test_the_copy_is_made_once_and_is_the_run(exported, base):  # noqa: F811
    first = exported_runs.run_of(str(exported))
    assert exported_runs.run_of(str(exported)) == first
    one, other = (open_run(name) for name in (first, base))
    assert one.step == other.step and one.objective.model == other.objective.model
    texts = encode(["a cook"], one.vocabulary, 16)
    np.testing.assert_array_equal(
        one.sampler().generate(texts).tokens, other.sampler().generate(texts).tokens
    )
    assert exported_runs.run_of(base) == base


def test_what_cannot_go_on(exported, tmp_path, capsys):
    folder = shutil.copytree(exported, tmp_path / "changed")
    config = json.loads((folder / "config.json").read_text())
    for training, said in (
        ({}, "give the run directory that it was exported from"),
        ({"task": ""}, "tells of its training what cannot be"),
        ({**config["training"], "batch_size": "many"}, "tells of its training what cannot be"),
    ):
        (folder / "config.json").write_text(json.dumps({**config, "training": training}))
        with pytest.raises(UserError, match=said):
            exported_runs.run_of(str(folder))
    classes = tmp_path / "classes"
    run = runs.write_image_tokens(tmp_path, ["a", "b"])
    assert main(["export", "--checkpoint", run, "--output", str(classes)]) == 0
    line = ["sample", "--class", "a", "--checkpoint", str(classes), "--lora", "x", "1"]
    assert main(line) == 2
    assert "reads no texts" in capsys.readouterr().err
