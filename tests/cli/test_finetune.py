"""Contract: one command teaches a run pictures and a word; the run itself stays bit for bit."""

import argparse
import hashlib
import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from babeldraw.cli.finetune import _default_output
from babeldraw.cli.main import main
from babeldraw.cli.support.finetuning import add_word
from babeldraw.cli.support.runs import open_run
from babeldraw.data.sources.names import VOCABULARY_VARIABLE
from babeldraw.models import lora
from babeldraw.training.keeping.checkpoint_files import by_name
from babeldraw.training.keeping.checkpoints import load_constants, load_params
from babeldraw.weights import lora_files
from tests.cli import runs

WORD = "crayon zebra"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    run = runs.write_text_to_image(tmp_path_factory.mktemp("base"))
    settings = Path(run) / "settings.json"  # its data are of another size than its networks
    written = json.loads(settings.read_text()) | {"eval_dataset": None}
    settings.write_text(json.dumps(written))
    return run


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Six, of which one has no caption and one has the word."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for number in range(6):
        array = rng.integers(0, 256, size=(24, 30, 3), dtype=np.uint8)
        Image.fromarray(array).save(folder / f"{number}.png")
        if number:
            text = "a red Zebra in crayon" if number == 5 else f"picture {number}"
            (folder / f"{number}.txt").write_text(text)
    return folder


def files_of(folder):
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(autouse=True)
def own_vocabulary_variable(monkeypatch):
    """The command sets it for its process."""
    monkeypatch.setenv(VOCABULARY_VARIABLE, "")


def finetune(base, pictures, output, *more):
    words = ["--from", base, "--data", f"folder:{pictures}", "--output", str(output)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(VOCABULARY_VARIABLE, "")
        return main(["finetune", *words, "--gin.BATCH_SIZE=8", "--gin.EVAL_EVERY=0", *more])


@pytest.fixture(scope="module")
def finished(base, pictures, tmp_path_factory):
    """The output of a LoRA of two steps, and what the base was before and after."""
    output, before = tmp_path_factory.mktemp("out") / "lora", files_of(base)
    words = ["--word", WORD, "--lora", "2", "--steps", "2", "--prior", "none"]
    assert finetune(base, pictures, output, *words) == 0
    return output, before, files_of(base)


def test_the_base_is_untouched_bit_for_bit(finished):
    _, before, after = finished
    assert before == after


def test_every_picture_is_trained_on_with_the_word(finished):
    output, *_ = finished
    train = output / "own" / "train"
    captions = {file.stem: file.read_text() for file in train.glob("*.txt")}
    assert len([*train.glob("*.png")]) == len(captions) == 6
    expected = [f"picture {number}, {WORD}\n" for number in range(1, 5)]
    assert sorted(captions.values()) == sorted([*expected, f"{WORD}\n", "a red Zebra in crayon\n"])
    assert open_run(str(output)).train_dataset.fingerprint()["pictures"] == 6
    recipe = (output / "recipe.gin").read_text().splitlines()
    assert {"LEARNING_RATE = 0.0033", "BATCH_SIZE = 8", "LORA_RANK = 2"} <= {*recipe}
    keeps = next(line for line in recipe if line.startswith("# the tokenizer gives"))
    assert re.fullmatch(r"# .* your pictures back at \d+\.\d dB, .*: --decoder .*", keeps), keeps


def test_the_file_says_of_which_model_it_is(finished, base):
    output, *_ = finished
    changes = lora_files.read(str(output / "lora.safetensors"))
    assert (changes.network, changes.run, changes.rank) == ("text_to_image", base, 2)
    assert {"zebra", "crayon"} <= set(changes.words)
    trained = load_params(str(output))["lora"]
    merged = lora.merge(load_params(base)["text_to_image"], trained)
    networks = open_run(base, added=((str(output / "lora.safetensors"), 1.0),)).networks
    found = networks["text_to_image"]["decoder"]["layers"]["mlp"]["wo"]["kernel"]
    expected = merged["decoder"]["layers"]["mlp"]["wo"]["kernel"]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    own = open_run(str(output)).networks["text_to_image"]["decoder"]["layers"]["mlp"]["wo"]
    np.testing.assert_array_equal(
        own["kernel"],
        load_params(base)["text_to_image"]["decoder"]["layers"]["mlp"]["wo"]["kernel"],
    )


def drawn(folder, *arguments):
    assert (
        main(["sample", f"a {WORD}", "--num_samples=1", "--output", str(folder), *arguments]) == 0
    )
    with Image.open(folder / f"a-{WORD.replace(' ', '-')}-00.png") as picture:
        return np.asarray(picture), json.loads(picture.text["settings"])


def test_sample_adds_it_by_its_weight(finished, base, tmp_path, capsys):
    output, *_ = finished
    strong = tmp_path / "strong.safetensors"
    changes = lora_files.read(str(output / "lora.safetensors"))
    arrays = {name: np.ones_like(array) for name, array in changes.arrays.items()}
    lora_files.write(strong, lora_files.Changes(**{**vars(changes), "arrays": arrays}))
    plain, settings = drawn(tmp_path / "plain", "--checkpoint", base)
    assert "lora" not in settings
    capsys.readouterr()
    nothing, settings = drawn(tmp_path / "none", "--checkpoint", base, "--lora", str(strong), "0")
    assert settings["lora"] == [[str(strong), 0.0]]
    assert "never had" not in capsys.readouterr().err
    np.testing.assert_array_equal(plain, nothing)
    other, _ = drawn(tmp_path / "all", "--checkpoint", base, "--lora", str(strong), "1")
    assert np.any(other != plain)
    there_and_back = open_run(base, added=((str(strong), 1.0), (str(strong), -1.0))).networks
    for found, was in zip(
        jax.tree.leaves(there_and_back["text_to_image"]),
        jax.tree.leaves(load_params(base)["text_to_image"]),
        strict=True,
    ):
        np.testing.assert_allclose(found, was, atol=1e-5)


def refused(capsys, *arguments):
    capsys.readouterr()
    assert main([*map(str, arguments)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("babeldraw: error: ")
    return lines[-1]


def test_a_file_of_another_base_is_refused(finished, tmp_path, capsys):
    output, *_ = finished
    other = runs.write_text_to_image(tmp_path / "other", codes=16, heads=4)
    file, drawn = output / "lora.safetensors", tmp_path / "drawn"
    said = refused(
        capsys, "sample", "a", "--checkpoint", other, "--lora", file, 1, "--output", drawn
    )
    assert "was trained on another model than" in said and "give --checkpoint" in said
    assert not drawn.exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda data, arrays: data[:100], "is damaged"),
        (lambda data, arrays: b"", "is damaged"),
        (lambda data, arrays: safetensors.numpy.save(arrays), "is not in the format"),
    ],
)
def test_files_that_are_none_are_refused(finished, base, tmp_path, capsys, change, sentence):
    data = (finished[0] / "lora.safetensors").read_bytes()
    file = tmp_path / "file.safetensors"
    file.write_bytes(change(data, {"a": np.zeros(2)}))
    assert sentence in refused(capsys, "sample", "a", "--checkpoint", base, "--lora", file, 1)


def test_changes_that_do_not_fit_are_refused(finished, base):
    changes = lora_files.read(str(finished[0] / "lora.safetensors"))
    params = load_params(base)["text_to_image"]
    name = "decoder/layers/mlp/wi/kernel/down"
    for arrays in (
        {name: changes.arrays[name]},  # without its half
        {**changes.arrays, name: changes.arrays[name][:, 1:]},
        {"decoder/layers/none/kernel/down": changes.arrays[name]},
    ):
        broken = lora_files.Changes(**{**vars(changes), "arrays": arrays})
        with pytest.raises(Exception, match="has no such kernel"):
            broken.fit(params, "file")


def test_what_cannot_be_finetuned_is_refused_and_nothing_is_written(
    base, pictures, finished, tmp_path, capsys
):
    output, data = tmp_path / "out", ("--data", f"folder:{pictures}")
    start = ("finetune", "--output", output)
    tokenizer = runs.write_tokenizer(tmp_path / "runs")
    for words, sentence in (
        ((*start, "--from", tmp_path / "none", *data, "--word", "a"), "is not a run directory"),
        ((*start, "--from", tokenizer, *data, "--word", "a"), "is a Tokenizer run"),
        ((*start, "--from", finished[0], *data, "--word", "a"), "is a LowRank run"),
        ((*start, "--from", base, *data), "give --word"),
        ((*start, "--from", base, *data, "--lora", "--decoder"), "leave out one of them"),
        ((*start, "--from", base, *data, "--word", "!"), "has no letter in it"),
        ((*start, "--from", base, "--data", "folder:/nowhere", "--word", "a"), "There is no"),
        (
            ("finetune", "--output", base, "--from", base, *data, "--word", "a"),
            "the run that goes on",
        ),
        (("finetune", "--output", pictures, "--from", base, *data, "--word", "a"), "the pictures"),
        (("sample", "a", "--checkpoint", base, "--lora", "x", "much"), "give a number"),
        (("sample", "a", "--checkpoint", base, "--lora", tmp_path / "x", 1), "There is no file"),
    ):
        assert sentence in refused(capsys, *words)
        assert not output.exists()


def test_another_command_in_the_same_folder_is_refused(finished, base, pictures, capsys):
    words = ["finetune", "--from", base, "--data", f"folder:{pictures}", "--output", finished[0]]
    assert "was begun by another command" in refused(capsys, *words, "--word", "b")


def test_words_join_captions_that_lack_them():
    assert add_word("a cat", "my cat") == "a cat, my cat"
    assert add_word("My Cat, asleep", "my cat") == "My Cat, asleep"
    assert add_word("", "my cat") == "my cat"
    assert add_word("a cat", None) == "a cat"


@pytest.mark.slow
def test_all_of_a_model_with_pictures_that_it_draws_of_what_it_knew(base, pictures, tmp_path):
    import dataclasses

    from babeldraw import files
    from babeldraw.training.keeping.prompts import FORMAT, NAME, Prompts

    known = Prompts(None, 3, True, ["a cook", "a red apple"], [], {"a": 1})
    (files.path(base) / NAME).write_text(
        json.dumps({"format": FORMAT, **dataclasses.asdict(known)})
    )
    assert (
        finetune(
            *(base, pictures, tmp_path / "out", "--word", WORD, "--steps", "2"),
            *("--prior", "drawn", "--decoder", "2"),
        )
        == 0
    )
    before, after = (load_constants(run)["tokenizer"] for run in (base, str(tmp_path / "out")))
    same = {
        name
        for name, array in by_name(before).items()
        if np.array_equal(array, by_name(after)[name])
    }
    assert same == {name for name in by_name(before) if not name.startswith("decoder/")}
    captions = {f.read_text() for f in (tmp_path / "out" / "prior" / "train").glob("*.txt")}
    assert captions == {"a cook\n", "a red apple\n"}
    task = open_run(str(tmp_path / "out")).train_dataset.mixture_or_task_name
    assert task.count("folder:") == 2 and ":0.5+" in task


def test_a_run_is_called_after_what_it_learns():
    def named(**given):
        asked = {"word": None, "lora": None, "data": "folder:/my/Pictures/"}
        return _default_output(argparse.Namespace(**asked | given))

    assert named(word="crayon Style") == "runs/crayon-style-finetuned"
    assert named(word="../a", lora=8) == "runs/a-lora"
    assert named() == "runs/pictures-finetuned"
