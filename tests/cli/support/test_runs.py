"""Contract: a run is read from data. Nothing in its directory is run, whatever it holds."""

import json
import os
from pathlib import Path

import pytest

from babeldraw.cli.main import main
from babeldraw.cli.support.known_classes import known_classes
from babeldraw.cli.support.runs import open_run
from babeldraw.errors import UserError
from babeldraw.training.keeping.settings import NAME, write_settings
from tests.cli import runs

SIZES = {
    "coca": ("models/coca_base", "tasks/coco"),
    "coca_small": (),
    "coco_finetune": ("models/3b", "tokenizers/small_small", "tasks/coco"),
    "decoder_finetune": ("tokenizers/small_large", "tasks/coco"),
    "emoji_model_coca": (),
    "emoji_model_decoder": (),
    "emoji_model_super_resolution": (),
    "emoji_model_text_to_image": (),
    "emoji_model_tokenizer": (),
    "emoji_tokenizer_64": (),
    "finetune": ("models/3b", "tokenizers/small_small", "tasks/coco"),
    "finetune_decoder": ("tokenizers/small_small", "tasks/coco"),
    "guidance_finetune": ("models/3b", "tokenizers/small_small", "tasks/coco"),
    "image_tokens": ("models/vim_base", "tokenizers/small_small", "tasks/imagenet"),
    "larger_text_to_image": ("models/3b", "tokenizers/small_small", "tasks/coco"),
    "larger_tokenizer": ("tokenizers/small_small", "tasks/coco"),
    "lora": ("models/3b", "tokenizers/small_small", "tasks/coco"),
    "quickstart_image_tokens": (),
    "quickstart_text_to_image": (),
    "quickstart_tokenizer": (),
    "super_resolution": ("tokenizers/small_small", "tasks/coco_512"),
    "super_resolution_small": (),
    "text_encoder": ("models/text_encoder_20b", "tasks/c4"),
    "text_encoder_pairs": ("models/text_encoder_3b", "tasks/coco"),
    "text_encoder_small": (),
    "text_encoder_tokens": ("models/text_encoder_750m", "tokenizers/small_small", "tasks/coco"),
    "text_encoder_tokens_small": (),
    "text_to_image": ("models/20b", "tokenizers/small_small", "tasks/coco"),
    "tokenizer": ("tokenizers/small_small", "tasks/coco", "losses/vgg16"),
}
"""What each recipe needs beside it."""

ELSEWHERE = ("INIT_FROM", "LORA_BASE", "MODEL_DIR", "TOKENIZER_CHECKPOINT", "VGG16_FILE")


def test_every_recipe_is_here():
    assert {path.stem for path in Path("gin/runs").glob("*.gin")} == SIZES.keys()


@pytest.mark.parametrize("name", SIZES)
def test_settings_of_every_recipe_come_back(name, tmp_path):
    files = [f"gin/{file}.gin" for file in (f"runs/{name}", *SIZES[name])]
    settings = runs.settings_of(files, ELSEWHERE)
    write_settings(tmp_path, settings)
    opened = open_run(str(tmp_path))
    assert opened.objective == settings["objective"]
    assert opened.train_dataset == settings["train_dataset"]
    assert opened.eval_dataset == settings["eval_dataset"]


def test_classes_have_names_of_their_own():
    known = known_classes()
    assert len({*known.values()}) == len(known)
    assert (
        known["objectives.text_to_image.TextToImage"].__module__
        == "babeldraw.objectives.text_to_image"
    )
    assert all(cls.__module__.startswith("babeldraw.") for cls in known.values())


@pytest.fixture
def trap(tmp_path):
    """A folder with a run in it, whose recipe runs a command wherever it is read."""
    run = runs.write_text_to_image(tmp_path)
    sprung = tmp_path / "sprung"
    recipe = Path(run) / "config.gin"
    recipe.write_text(
        "from __gin__ import dynamic_registration\nimport os\n"
        f"{recipe.read_text().partition(chr(10))[2]}\n"
        f"os.system.command = 'touch {sprung}'\n"
        "text_to_image.TextToImage.tokenizer_params = @os.system()\n"
        "encoder_decoder.EncoderDecoder.text_vocab_size = @os.system()\n"
    )
    yield run
    assert not sprung.exists()
    # It is one: read as a recipe, it does what it says.
    runs.settings_of([str(recipe)])
    assert sprung.exists()


def test_a_run_draws_and_nothing_of_its_recipe_is_run(trap, tmp_path):
    output = tmp_path / "drawn"
    arguments = ["--checkpoint", trap, "--num_samples=1", "--output", str(output)]
    assert main(["sample", "a cook", *arguments]) == 0
    assert (output / "a-cook-00.png").is_file()
    open_run(trap).codec()


@pytest.mark.parametrize(
    ("part", "value", "says"),
    [
        ("objective", {"class": "os.system", "command": "true"}, "objective in .* is of the class"),
        (
            "objective",
            {"class": "objectives.base.Objective"},
            "cannot be a objectives.base.Objective: Can't instantiate",
        ),
        ("objective", {"class": "models.feature_networks.VGG16"}, "is no Objective"),
        (
            "objective",
            {"class": "data.pipeline.Dataset"},
            "is of the class 'data.pipeline.Dataset'",
        ),
        ("objective", "os.system", "is no Objective"),
        ("objective", None, "has no objective"),
        ("train_dataset", {"function": "os:system"}, "is no Dataset"),
        ("train_dataset", {"class": "objectives.text_to_image.TextToImage"}, "is of the class"),
        ("train_dataset", {"class": "data.pipeline.Dataset", "seed": 1}, "cannot be a .*missing"),
        ("eval_dataset", [1], "is no Dataset"),
    ],
)
def test_hostile_settings_are_refused(part, value, says, tmp_path):
    run = runs.write_text_to_image(tmp_path)
    with runs.changed_settings(run) as settings:
        settings[part] = value
    with pytest.raises(UserError, match=says):
        getattr(open_run(run), part)


def test_classes_that_have_moved_are_known_by_their_old_names(tmp_path):
    run = runs.write_text_to_image(tmp_path)
    before = open_run(run).train_dataset
    with runs.changed_settings(run) as settings:
        assert settings["train_dataset"]["class"] == "data.streams.pipeline.Dataset"
        settings["train_dataset"]["class"] = "data.pipeline.Dataset"
    assert open_run(run).train_dataset == before


def test_settings_nested_without_end_are_refused(tmp_path):
    run = runs.write_text_to_image(tmp_path)
    deep = '{"a":' * 900 + "1" + "}" * 900
    (Path(run) / NAME).write_text(f'{{"format": 1, "objective": {deep}}}')
    with pytest.raises(UserError, match="objective"):
        open_run(run)


def test_reading_settings_runs_no_gin(tmp_path):
    run = runs.write_tokenizer(tmp_path)
    os.remove(Path(run) / "config.gin")
    assert open_run(run).codec().model.codebook_size == 13
    assert json.loads((Path(run) / NAME).read_text())["format"] == 1
