"""Contract: the recipes in gin/ bind what exists, fit together, and their mistakes read well."""

import argparse
import itertools
import re
import shlex
from pathlib import Path

import gin
import jax
import pytest

from babeldraw.cli import train
from babeldraw.cli.main import main, split_gin_bindings
from babeldraw.cli.support.gin_config import parse_gin
from babeldraw.cli.support.machines import load_machine_file
from babeldraw.errors import UserError
from babeldraw.models.feature_networks import VGG16
from babeldraw.training.machine import Machine

SIZES = ("tiny", "350m", "750m", "3b", "20b")
TOKENIZERS = ("tiny", "small_small", "base_base", "small_large")
TASKS = (
    *("emoji", "emoji_people", "emoji_quickstart", "emoji_words"),
    *("coco", "coco_512", "folder", "tokens"),
)


def objective(files, *bindings):
    parse_gin([f"gin/{name}.gin" for name in files], ["MODEL_DIR = 'unused'", *bindings])
    return gin.query_parameter("loop.train.objective").scoped_configurable_fn()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("tokenizer", "task"), [("small_small", "coco"), ("tiny", "emoji_quickstart")]
)
def test_every_model_fits_every_tokenizer_and_task(size, tokenizer, task):
    files = ("runs/text_to_image", f"models/{size}", f"tokenizers/{tokenizer}", f"tasks/{task}")
    built = objective(files, "TOKENIZER_CHECKPOINT = 'unused'")
    params = jax.eval_shape(built.init, jax.random.key(0))["text_to_image"]
    shapes = built.batch_shapes(2)
    assert built.model.num_tokens == built.tokenizer.num_tokens
    assert built.model.codebook_size == built.tokenizer.codebook_size
    assert shapes["text_tokens"].shape == (2, built.model.text_length)
    assert params["logits"]["kernel"].value.shape == (
        built.model.d_model,
        built.tokenizer.codebook_size,
    )
    assert built.players()[0].name == "text_to_image"


def test_pictures_may_be_rectangles():
    """Their size is said once."""
    files = ("runs/text_to_image", "models/tiny", "tokenizers/tiny", "tasks/emoji")
    built = objective(files, "TOKENIZER_CHECKPOINT = 'unused'", "IMAGE_SIZE = (32, 48)")
    assert (built.model.rows, built.model.columns) == built.tokenizer.grid == (8, 12)
    assert built.batch_shapes(2)["image"].shape == (2, 32, 48, 3)
    assert built.tokenizer_params.image_size == (32, 48)


def test_tokens_beforehand_take_the_place_of_pictures():
    files = ("runs/text_to_image", "models/tiny", "tokenizers/tiny", "tasks/tokens")
    built = objective(files, "TOKENIZER_CHECKPOINT = 'unused'")
    shapes = built.batch_shapes(2)
    assert {*shapes} == {"text_tokens", "image_tokens"}
    assert shapes["image_tokens"].shape == (2, built.tokenizer.num_tokens)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_every_tokenizer_recipe_builds(tokenizer):
    built = objective(("runs/tokenizer", f"tokenizers/{tokenizer}", "tasks/emoji"))
    params = jax.eval_shape(built.init, jax.random.key(0))["tokenizer"]
    codebook = params["quantizer"]["codebook"].value
    assert codebook.shape == (built.model.codebook_size, built.model.code_dim)
    assert [player.name for player in built.players()] == ["discriminator", "tokenizer"]
    assert built.perceptual.weight == 0.1


def test_the_tokenizer_recipe_has_the_published_numbers():
    """arXiv 2110.04627; the discriminator is trained with the same optimizer, from step 0."""
    built = objective(("runs/tokenizer", "tokenizers/small_small", "tasks/coco"))
    adversary = built.adversary
    weights = [built.l2_weight, built.logit_laplace_weight, built.vq_weight]
    assert [*weights, built.perceptual.weight, adversary.weight] == [1.0, 0.1, 1.0, 0.1, 0.1]
    assert built.commitment_weight == 0.25
    assert (adversary.r1_weight, adversary.ramp_steps, adversary.adaptive) == (10.0, 0, False)
    assert (built.ema_decay, built.revive_every) == (0, 0)
    for adam in (built.optimizer, adversary.optimizer):
        assert (adam.b1, adam.b2, adam.weight_decay, adam.clip_norm) == (0.9, 0.99, 1e-4, None)
        rates = [float(adam.learning_rate(step)) for step in (0, 50_000, 500_000)]
        assert rates == pytest.approx([0, 1e-4, 5e-5])
    assert gin.query_parameter("%BATCH_SIZE") == 256
    assert gin.query_parameter("%TRAIN_STEPS") == 500_000


@pytest.mark.parametrize("size", SIZES[1:])
def test_the_text_to_image_recipe_has_the_published_numbers(size):
    """The patent's, and the batch of arXiv 2206.10789; the kernel of 11 is DALL-E's."""
    files = ("runs/text_to_image", f"models/{size}", "tokenizers/small_small", "tasks/coco")
    built = objective(files, "TOKENIZER_CHECKPOINT = 'unused'")
    model, adafactor = built.model, built.optimizer
    assert (model.text_vocab_size, model.text_length) == (16_000, 128)
    assert (model.rows, model.columns, model.codebook_size) == (32, 32, 8192)
    assert (model.attention_kernel, model.attention_wrap) == (11, False)
    assert (model.decoder_inputs, model.dropout_rate, model.dtype) == ("raster", 0.1, "bfloat16")
    assert (built.prompt_dropout_rate, built.token_noise_rate) == (0, 0)
    assert (adafactor.b1, adafactor.b2, adafactor.first_moment_dtype) == (0.9, 0.96, "int8")
    assert (adafactor.weight_decay, adafactor.clip_norm) == (4.5e-2, 4.0)
    rates = [float(adafactor.learning_rate(step)) for step in (5_000, 85_000, 450_000)]
    assert rates == pytest.approx([4.5e-5, 4.5e-5, 0.025 * 4.5e-5], rel=1e-3)
    assert [player.name for player in built.players()] == ["text_to_image"]  # and no average
    assert gin.query_parameter("%BATCH_SIZE") == 8192
    assert gin.query_parameter("%TRAIN_STEPS") == 450_000


@pytest.mark.parametrize(
    ("size", "sizes"), [("base", (24, 16, 1536, 6144)), ("large", (36, 32, 2048, 8192))]
)
def test_the_image_tokens_recipe_has_the_published_numbers(size, sizes):
    """arXiv 2110.04627; weight decay and clipping are those of text to image."""
    files = ("runs/image_tokens", f"models/vim_{size}", "tokenizers/small_small", "tasks/coco")
    built = objective(files, "TOKENIZER_CHECKPOINT = 'unused'", "NUM_CLASSES = 1000")
    model, adafactor = built.model, built.optimizer
    assert (model.decoder_layers, model.num_heads, model.d_model, model.mlp_dim) == sizes
    assert model.num_heads * model.head_dim == model.d_model
    assert (model.rows, model.columns, model.codebook_size) == (32, 32, 8192)
    assert (model.attention_kernel, model.decoder_inputs) == (None, "raster")
    assert (model.num_classes, model.dropout_rate, model.qk_norm) == (1000, 0.1, False)
    assert (built.class_dropout_rate, built.token_noise_rate, built.z_loss) == (0, 0, 0)
    assert (adafactor.b1, adafactor.b2, adafactor.first_moment_dtype) == (0.9, 0.96, "int8")
    assert (adafactor.weight_decay, adafactor.clip_norm) == (4.5e-2, 4.0)
    rates = [float(adafactor.learning_rate(step)) for step in (0, 5_000, 80_000, 450_000)]
    assert rates == pytest.approx([0, 4.5e-4, 4.5e-4, 1e-5], rel=1e-3)
    assert gin.query_parameter("%BATCH_SIZE") == 1024
    assert gin.query_parameter("%TRAIN_STEPS") == 450_000


@pytest.mark.parametrize("feature", ["role", ""])
def test_the_dataset_of_image_tokens_brings_classes_and_no_texts(feature):
    files = ("runs/image_tokens", "models/vim_tiny", "tokenizers/tiny", "tasks/emoji_quickstart")
    settings = (f"CLASS_FEATURE = {feature!r}", f"NUM_CLASSES = {12 if feature else 0}")
    built = objective(files, "TOKENIZER_CHECKPOINT = 'unused'", *settings)
    for scope in ("train", "eval"):
        with gin.config_scope(scope):
            dataset = gin.get_configurable("pipeline.Dataset")()
        assert (dataset.class_feature, dataset.captioned) == (feature, False)
        batch = next(dataset.batches())
        entries = {name for name in batch if name in built.batch_shapes(1)}
        assert (
            entries == {*built.batch_shapes(1)} == ({"image", "class_id"} if feature else {"image"})
        )
        assert len(dataset.class_names()) == built.model.num_classes


@pytest.mark.parametrize(
    "run", ["text_to_image", "image_tokens", "quickstart_text_to_image", "quickstart_image_tokens"]
)
def test_what_keeps_long_runs_stable_is_off_and_a_macro_of_both_recipes(run):
    files = (f"runs/{run}", *PARTS.get(run, ()))
    settings = ("Z_LOSS = 1e-4", "SPIKE_FACTOR = 4.0", "QK_NORM = True")
    plain = objective(files, "TOKENIZER_CHECKPOINT = 'unused'")
    assert (plain.z_loss, plain.optimizer.spike_factor, plain.model.qk_norm) == (0, 0, False)
    built = objective(files, "TOKENIZER_CHECKPOINT = 'unused'", *settings)
    assert (built.z_loss, built.optimizer.spike_factor, built.model.qk_norm) == (1e-4, 4, True)


def test_a_tokenizer_for_unsupervised_learning_has_no_perceptual_loss():
    for run in ("tokenizer", "emoji_tokenizer_64"):
        files = (f"runs/{run}", *PARTS.get(run, ()))
        assert objective((*files, "losses/no_perceptual")).perceptual is None
        assert objective(files).perceptual.weight > 0


PARTS = {  # of recipes that leave their sizes or data open
    "coca": ("models/coca_base", "tasks/coco"),
    "coco_finetune": ("models/350m", "tokenizers/small_small", "tasks/coco"),
    "decoder_finetune": ("tokenizers/small_large", "tasks/coco"),
    "finetune": ("models/tiny", "tokenizers/tiny", "tasks/folder"),
    "finetune_decoder": ("tokenizers/tiny", "tasks/folder"),
    "guidance_finetune": ("models/350m", "tokenizers/small_small", "tasks/coco"),
    "image_tokens": ("models/vim_base", "tokenizers/small_small", "tasks/coco"),
    "larger_text_to_image": ("models/tiny", "tokenizers/tiny", "tasks/emoji_quickstart"),
    "larger_tokenizer": ("tokenizers/tiny", "tasks/emoji_quickstart"),
    "lora": ("models/tiny", "tokenizers/tiny", "tasks/folder"),
    "super_resolution": ("tokenizers/small_small", "tasks/coco_512"),
    "text_encoder": ("models/text_encoder_350m", "tasks/c4"),
    "text_encoder_pairs": ("models/text_encoder_350m", "tasks/coco"),
    "text_encoder_tokens": ("models/text_encoder_350m", "tokenizers/small_small", "tasks/coco"),
    "text_to_image": ("models/350m", "tokenizers/small_small", "tasks/coco"),
    "tokenizer": ("tokenizers/small_small", "tasks/coco"),
}
RUNS = sorted(path.stem for path in (Path(train.__file__).parents[2] / "gin/runs").glob("*.gin"))


@pytest.mark.parametrize("run", RUNS)
def test_warm_up_schedule_and_average_are_macros_of_every_recipe(run):
    files = (f"runs/{run}", *PARTS.get(run, ()))
    set_here = ("LEARNING_RATE = 0.125", "WARMUP_STEPS = 7", "EMA_DECAY = 0.75")
    exponential = run in ("text_to_image", "image_tokens", "emoji_model_text_to_image")
    exponential |= run in ("guidance_finetune", "coco_finetune", "larger_text_to_image")
    end = "FINAL_RATIO = 0.5" if exponential else "FINAL_LEARNING_RATE = 0.0625"
    frozen = ("decoder", "resolution", "to_image", "_tokens", "finetune", "lora")
    after = ["TOKENIZER_CHECKPOINT = 'unused'"] if any(stage in run for stage in frozen) else []
    others = {"lora": "LORA_BASE", "decoder_finetune": ""}
    if name := others.get(run, "INIT_FROM" if "finetune" in run or "larger" in run else ""):
        after.append(f"{name} = 'unused'")
    built = objective(files, *after, *set_here, end)
    schedule = built.optimizer.learning_rate
    assert (schedule.peak, schedule.warmup_steps, built.ema_decay) == (0.125, 7, 0.75)
    assert 0.0625 in (getattr(schedule, "final", 0), getattr(schedule, "final_ratio", 0) / 8)


def test_emoji_tokenizer_recipe_builds():
    built = objective(("runs/emoji_tokenizer_64",))
    names = [player.name for player in built.players()]
    assert names == ["discriminator", "code_share", "tokenizer", "tokenizer_ema"]
    assert built.model.num_tokens == 256


def test_decoder_finetune_recipe_builds():
    files = ("runs/decoder_finetune", "tokenizers/small_large", "tasks/coco")
    built = objective(files, "TOKENIZER_CHECKPOINT = 'unused'", "EMA_DECAY = 0.99")
    params = jax.eval_shape(built.init, jax.random.key(0))
    assert set(params) == {"tokenizer", "discriminator", "tokenizer_ema"}
    assert set(params["tokenizer"]) == {"decoder"}
    assert built.model.output == "rgb_logit_laplace"  # the patent's
    assert built.logit_laplace_weight == 0.1
    papers = objective(files, "TOKENIZER_CHECKPOINT = 'unused'", "OUTPUT = 'rgb'")
    assert papers.model.output == "rgb"


def test_vgg16_takes_the_place_of_squeezenet(tmp_path):
    for run in ("tokenizer", "super_resolution"):
        files = (f"runs/{run}", "tokenizers/small_small", "tasks/coco_512", "losses/vgg16")
        missing = tmp_path / "vgg16.safetensors"
        unneeded = ["TOKENIZER_CHECKPOINT = 'unused'"] if run == "super_resolution" else []
        perceptual = objective(files, f"VGG16_FILE = {str(missing)!r}", *unneeded).perceptual
        assert perceptual.network == VGG16() and perceptual.weight == 0.1
        with pytest.raises(UserError, match=r"vgg16\.safetensors cannot be read"):
            perceptual.params()


def header_commands():
    """The arguments of each `babeldraw train` at the head of a file of gin/runs."""
    for path in sorted(Path("gin/runs").glob("*.gin")):
        head = itertools.takewhile(lambda line: line[:1] == "#", path.read_text().splitlines())
        text = "\n".join(line.removeprefix("#") for line in head).replace("\\\n", " ")
        for number, line in enumerate(re.findall(r"babeldraw (train .*)", text)):
            yield pytest.param(shlex.split(line)[1:], id=f"{path.stem}-{number}")


@pytest.mark.parametrize("words", list(header_commands()))
def test_the_command_of_a_header_is_complete_and_has_the_machine_of_its_size(words):
    """Nothing here but 3B and 20B needs more than data parallelism (3B, 20B: the patent)."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    train.add_arguments(parser)
    args = parser.parse_args(split_gin_bindings(words))
    parse_gin(args.gin_file, [*args.gin_bindings, f"MODEL_DIR = {args.model_dir!r}"])
    built = gin.query_parameter("loop.train.objective").scoped_configurable_fn()
    shapes = built.batch_shapes(1)
    if "image" in shapes:
        assert shapes["image"].shape[1] == gin.query_parameter("%TASK_FEATURE_LENGTHS")["image"]
    machine = Machine.from_config(load_machine_file(args.config))
    in_layers = {"gin/models/3b.gin", "gin/models/20b.gin"} & {*args.gin_file}
    parts = machine.mesh.get("stage", 1) * machine.mesh.get("model", 1)
    assert (parts > 1) == bool(in_layers)
    if machine.topology:
        assert gin.query_parameter("%BATCH_SIZE") % machine.mesh["data"] == 0


@pytest.mark.parametrize("task", TASKS)
def test_text_lengths_of_a_task_agree(task):
    parse_gin(
        [f"gin/{name}.gin" for name in ("runs/tokenizer", "tokenizers/tiny", f"tasks/{task}")],
        ["MODEL_DIR = 'unused'"],
    )
    assert gin.query_parameter("%TASK_FEATURE_LENGTHS")["text"] == gin.query_parameter(
        "%TEXT_LENGTH"
    )


@pytest.mark.parametrize(
    ("binding", "says"),
    [
        ("TRAIN_STEP=5", "did you mean TRAIN_STEPS?"),
        ("tokenizer.Tokenizer.l2_wieght=1.0", "did you mean l2_weight?"),
        ("MIXTURE_OR_TASK_NAME='emoji_quikstart_32'", "did you mean emoji_quickstart_32"),
        ("TASK_FEATURE_LENGTHS={'text':16,'image':64}", "asks for images of 64 x 64 px"),
        ("PATCH_SIZE=5", "not a multiple of PATCH_SIZE 5"),
        ("IMAGE_SIZE=(32, 50)", "IMAGE_SIZE (32, 50) is not a multiple of PATCH_SIZE 4"),
        ("BATCH_SIZE=0", "BATCH_SIZE is 0: pipeline.Dataset.batch_size takes a whole number, 1 or"),
        ("TRAIN_STEPS=10", "raise TRAIN_STEPS"),
    ],
)
def test_a_mistake_is_one_sentence(binding, says, tmp_path, capsys):
    arguments = ["train", "--gin_file=gin/runs/quickstart_tokenizer.gin", f"--gin.{binding}"]
    assert main([*arguments, f"--model_dir={tmp_path / 'run'}"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("babeldraw: error: ")
    assert says in error
    assert not (tmp_path / "run").exists()
