"""Contract: tokens made beforehand are those that the train step makes, whatever was killed."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from PIL import Image

from babeldraw.cli import tokenize_dataset
from babeldraw.cli.main import main
from babeldraw.cli.support import views
from babeldraw.data import tasks, vocabulary
from babeldraw.data.sources import records, token_set
from babeldraw.data.streams import pipeline
from babeldraw.errors import UserError
from babeldraw.training.keeping.checkpoints import TrainedTokenizer, load_tokenizer
from babeldraw.training.loop import train
from babeldraw.training.machine import Machine
from tests.cli import runs
from tests.models import tiny
from tests.objectives import tiny_runs

LENGTHS = {"text": 6, "image": (16, 20)}
COUNT = 45  # 36 to train on, 9 to evaluate


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.write_tokenizer(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module", autouse=True)
def one_codec():
    """Opened and compiled once for all."""
    opened = {}

    def open_once(args, mesh):
        if args.checkpoint not in opened:
            opened[args.checkpoint] = open_codec(args, mesh)
        codec, seen = opened[args.checkpoint]
        return codec, views.view_of(args, seen)

    open_codec = tokenize_dataset._open_codec
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenize_dataset, "_open_codec", open_once)
        yield


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """Pictures of the tokenizer's size, so that training has nothing to crop."""
    folder = tmp_path_factory.mktemp("pictures")
    lines = []
    for index, image in enumerate(tiny.images(COUNT, seed=4)):
        Image.fromarray(image).save(folder / f"{index:02d}.png")
        captions = [f"thing {index}", "a man", "red"][: 1 + index % 3]
        lines.append(json.dumps({"file_name": f"{index:02d}.png", "caption": captions}))
    (folder / "captions.jsonl").write_text("\n".join(lines))
    (folder / "vocabulary.model").write_bytes(vocabulary.EMOJI_VOCABULARY.read_bytes())
    return f"folder:{folder}"


def arguments(run, task, output, *more):
    given = ["--checkpoint", run, "--task", task, "--output", str(output), "--shard_size=10"]
    return ["tokenize-dataset", *given, "--batch_size=4", *more]


@pytest.fixture(scope="module")
def output(run, task, tmp_path_factory):
    output = tmp_path_factory.mktemp("tokens")
    assert main(arguments(run, task, output)) == 0
    return output


def shards(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.array_record")}


def of_pictures(task, **settings):
    return pipeline.Dataset(task, LENGTHS, batch_size=8, seed=3, **settings)


def of_tokens(output, **settings):
    return of_pictures(f"tokens:{output}", **settings)


def objective(run, **settings):
    model = {"text_vocab_size": 2048, "codebook_size": 13, "dropout_rate": 0.1} | settings
    built = tiny_runs.text_to_image(**model)
    replaced = {"tokenizer_params": lambda: load_tokenizer(run)}
    return type(built)(**{**vars(built), **replaced})


def test_batches_are_those_of_pictures_after_the_tokenizer(run, task, output):
    """In training's order, with the captions that training draws, beyond an epoch."""
    built = objective(run)
    encode = jax.jit(built.image_tokens)
    constants = built.constants()
    for split in ("train", "validation"):
        pictures = of_pictures(task, split=split).batches()
        tokens = of_tokens(output, split=split).batches()
        for _ in range(7):
            first, second = next(pictures), next(tokens)
            assert second.keys() == {"text_tokens", "image_tokens"}
            np.testing.assert_array_equal(first["text_tokens"], second["text_tokens"])
            assert second["image_tokens"].dtype == np.int32
            np.testing.assert_array_equal(encode(constants, first), second["image_tokens"])


def losses(objective, dataset, model_dir):
    seen = []
    train(
        objective,
        model_dir=str(model_dir),
        train_dataset=dataset,
        train_steps=3,
        machine=Machine(checkpoint_every=0),
        log_every=1,
        on_metrics=lambda step, split, values: seen.append(values["loss"]),
        devices=jax.devices()[:1],
    )
    return seen


@pytest.mark.slow
def test_training_on_tokens_is_bitwise_training_on_pictures(run, task, output, tmp_path):
    built = objective(run)
    beforehand = type(built)(**{**vars(built), "tokens_beforehand": True})
    pictures = losses(built, of_pictures(task), tmp_path / "pictures")
    assert losses(beforehand, of_tokens(output), tmp_path / "tokens") == pictures
    assert len(pictures) == 3


def test_training_refuses_tokens_of_another_tokenizer(run, task, output):
    built = objective(run)
    beforehand = type(built)(**{**vars(built), "tokens_beforehand": True})
    constants = built.constants()
    beforehand.check_dataset(of_tokens(output), constants)
    other = {"tokenizer": tiny_runs.frozen_tokenizer()}
    with pytest.raises(UserError, match="made by another tokenizer"):
        beforehand.check_dataset(of_tokens(output), other)
    with pytest.raises(UserError, match="brings tokens made beforehand, and TOKENS_BEFOREHAND is"):
        built.check_dataset(of_tokens(output), constants)
    with pytest.raises(UserError, match="brings pictures, and TOKENS_BEFOREHAND is True"):
        beforehand.check_dataset(of_pictures(task), constants)
    turned = {
        "tokenizer": tiny.tokenizer(image_size=(20, 16)),
        "model": tiny.transformer(rows=5, columns=4),
    }
    with pytest.raises(UserError, match=r"16 px high and 20 px wide, and IMAGE_SIZE is \(20, 16\)"):
        type(built)(**{**vars(beforehand), **turned}).check_dataset(of_tokens(output), constants)


def test_a_tokenizer_of_pictures_turned_about_is_refused(run):
    """All its weights have the shapes that the recipe describes."""
    TrainedTokenizer(run)()
    TrainedTokenizer(run, (16, 20))()
    with pytest.raises(UserError, match=r"16 px high and 20 px wide, and IMAGE_SIZE is \(20, 16\)"):
        TrainedTokenizer(run, (20, 16))()


def test_damaged_tokens_do_not_reach_the_model():
    built = tiny_runs.text_to_image()
    batch = {"text_tokens": np.zeros((2, 6), np.int32), "image_tokens": np.full((2, 20), 13)}
    with pytest.raises(UserError, match="have token 13, and the model knows 13"):
        built.check_batch(batch)


def test_what_was_killed_goes_on(run, task, output, tmp_path):
    assert main(arguments(run, task, tmp_path)) == 0
    whole = shards(tmp_path)
    assert whole == shards(output) and len(whole) == 5
    lost, kept = (tmp_path / f"train-0000{index}-of-00004.array_record" for index in (1, 2))
    lost.rename(tmp_path / ".partial-1")  # as SIGKILL leaves it
    before = kept.stat().st_mtime_ns
    with pytest.raises(UserError, match="lacks 1 of the 4 shards of the split train"):
        of_tokens(tmp_path).batches()
    assert main(arguments(run, task, tmp_path)) == 0
    assert shards(tmp_path) == whole and kept.stat().st_mtime_ns == before


def test_two_workers_write_what_one_writes(run, task, output, tmp_path, capsys):
    for worker in range(2):
        more = ("--workers=2", f"--worker={worker}")
        assert main(arguments(run, task, tmp_path, *more)) == 0
    assert shards(tmp_path) == shards(output)
    printed = capsys.readouterr().out
    assert "lacks 2 shards, which are other workers'" in printed
    assert f"train on it with the task tokens:{tmp_path}" in printed


@pytest.mark.slow
def test_processes_killed_and_started_again(run, task, output, tmp_path):
    command = [sys.executable, "-m", "babeldraw.cli.main"]
    command += arguments(run, task, tmp_path, "--workers=2")
    killed = subprocess.Popen(command, start_new_session=True)
    while not shards(tmp_path):
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    subprocess.run(command, check=True)
    assert shards(tmp_path) == shards(output)


def test_crops(run, task, tmp_path):
    """Of pictures larger than the tokenizer's."""
    folder = tmp_path / "large"
    folder.mkdir()
    for index, image in enumerate(tiny.images(12, seed=4)):
        Image.fromarray(image).resize((60, 40)).save(folder / f"{index}.png")
        (folder / f"{index}.txt").write_text("a man")
    assert main(arguments(run, f"folder:{folder}", tmp_path / "t", "--crops=3")) == 0
    rows = {}
    for path in (tmp_path / "t").glob("*.array_record"):
        found = [records.decode(record) for record in records.read_in_order(path)]
        rows[path.name.partition("-")[0]] = [example["image_tokens"] for example in found]
    assert {len(crops) for crops in rows["train"]} == {3}
    assert {len(crops) for crops in rows["validation"]} == {1}
    assert any(len(set(crops)) > 1 for crops in rows["train"])


def refused(capsys, *command):
    assert main(list(command)) == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_a_folder_is_of_one_tokenizer_and_task(run, task, output, tmp_path, capsys):
    manifest = json.loads((output / "manifest.json").read_text())
    others = {"tokenizer": "0" * 64, "task": "folder:/other", "crops": 2, "fit": "pad"}
    for name, value in others.items():
        (tmp_path / "manifest.json").write_text(json.dumps(manifest | {name: value}))
        message = refused(capsys, *arguments(run, task, tmp_path))
        assert f"was begun with {name} {value if name != 'tokenizer' else '0000'}" in message
    message = refused(capsys, *arguments(run, task, tmp_path, "--fit=stretch"))
    assert "was begun with fit pad, and this is stretch" in message
    message = refused(capsys, *arguments(run, task, tmp_path, "--fit=pad", "--background=black"))
    assert "was begun with background white, and this is black" in message
    (tmp_path / "manifest.json").write_text("{}")
    assert "is damaged" in refused(capsys, *arguments(run, task, tmp_path))
    assert not shards(tmp_path)


def test_what_cannot_be_read(task, output, tmp_path):
    with pytest.raises(UserError, match=r"no readable manifest\.json"):
        of_tokens(tmp_path).batches()
    wrong = pipeline.Dataset(f"tokens:{output}", {"text": 6, "image": (20, 16)})
    with pytest.raises(UserError, match=r"high and 20 px wide: set 'image' to \(16, 20\)"):
        wrong.batches()
    with pytest.raises(UserError, match="must all have pictures, or all have tokens"):
        of_pictures(f"tokens:{output}:1+{task}:1").batches()


def test_damaged_records_are_left_out_and_damaged_shards_named(output, tmp_path):
    for name, content in shards(output).items():
        (tmp_path / name).write_bytes(content)
    for name in ("manifest.json", "vocabulary.model"):
        (tmp_path / name).write_bytes((output / name).read_bytes())
    path = tmp_path / "validation-00000-of-00001.array_record"
    records.write(path, [b"no record", *records.read_in_order(path)], "")
    examples = of_tokens(tmp_path, split="validation").examples()
    assert len(examples["image_tokens"]) == 9
    source = tasks.find_task(f"tokens:{tmp_path}", "train").source
    assert source.skipped.kinds == {"damaged record": {f"{path.name}: record 0": None}}
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"array_record is damaged: remove it"):
        token_set.TokenSource(tmp_path).num_input_examples("validation")


def test_captions_come_along(task, output):
    assert set(tasks.task_captions(f"tokens:{output}")) == set(tasks.task_captions(task))


def test_bad_numbers(run, task, tmp_path, capsys):
    for more, says in (
        (("--workers=0",), "--workers is 0"),
        (("--workers=2", "--worker=2"), "--worker is 2; give 0 to 1"),
    ):
        assert says in refused(capsys, *arguments(run, task, tmp_path, *more))
