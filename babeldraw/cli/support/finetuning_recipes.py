"""The recipes that `babeldraw finetune` writes: the networks as the run has them, and the data."""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babeldraw.cli.support.finetuning import RATES, Mixed, feature_lengths, highest_rate
from babeldraw.cli.support.gin_values import with_quotes

if TYPE_CHECKING:
    from babeldraw.cli.support.runs import Run

MOST_AT_ONCE = 64
"""Rows of a batch, of a run with larger ones: a few pictures would stand in it many times."""

OF_ITS_RATE, OF_ITS_RATE_LORA = 2 / 3, 10 / 3
"""Learning rates, as parts of the highest one that the run was trained at: by the quickstart's."""

DECODER = "decoder"
"""The run inside the output in which the tokenizer's decoder learns."""

DECODER_STEPS = 400

DECODER_RATE = 2e-3 * 128
"""Learning rate times width: that of the quickstart's decoder, less where it is wider."""

_SETTINGS = ("class", "execution")
_MODEL, _TOKENIZER = "encoder_decoder.EncoderDecoder", "vit_vqgan.ViTVQGAN"


def recipe_of(
    args: argparse.Namespace, run: "Run", output: Path, mixed: Mixed, command: str
) -> str:
    """recipe.gin: gin/runs/finetune.gin or lora.gin, the model as the run has it, the mixture."""
    objective, settings = run.objective, run.settings["objective"]
    model, tokenizer = settings["model"], settings["tokenizer"]
    of_run: dict[str, Any] = {
        "MODEL_DIR": str(output),
        "TOKENIZER_CHECKPOINT": str(output / DECODER) if args.decoder else run.model_dir,
        **_of_data(args, run, mixed),
        "TEXT_LENGTH": model["text_length"],
        "TEXT_VOCAB_SIZE": model["text_vocab_size"],
        "DROPOUT_RATE": model["dropout_rate"],
        "DECODER_INPUTS": model["decoder_inputs"],
        "QK_NORM": model["qk_norm"],
    }
    for macro in RATES:
        of_run[macro.upper()] = getattr(objective, macro)
    of_run |= {"INIT_FROM": run.model_dir} if args.lora is None else {"LORA_BASE": run.model_dir}
    if args.lora is not None:
        of_run["LORA_RANK"] = args.lora
    peak = highest_rate(run)
    if peak is not None:  # Else the recipe's rate stays.
        share = OF_ITS_RATE if args.lora is None else OF_ITS_RATE_LORA
        of_run["LEARNING_RATE"] = float(f"{share * peak:.2g}")
    if args.steps is not None:
        of_run |= _steps(args.steps)
    base = "finetune" if args.lora is None else "lora"
    lines = [
        f"# Written by `{command}`.",
        *(f"# {sentence}" for sentence in mixed.sentences),
        *_lines(base, of_run, {_MODEL: model, _TOKENIZER: tokenizer}, run, mixed),
        *map(with_quotes, args.gin_bindings),
    ]
    return "\n".join(lines) + "\n"


def decoder_recipe_of(args: argparse.Namespace, run: "Run", output: Path, mixed: Mixed) -> str:
    """decoder.gin: gin/runs/finetune_decoder.gin, the tokenizer as the run has it, the mixture."""
    tokenizer = run.settings["objective"]["tokenizer"]
    of_run = {
        "MODEL_DIR": str(output / DECODER),
        "TOKENIZER_CHECKPOINT": run.model_dir,
        "INIT_FROM": run.model_dir,
        **_of_data(args, run, mixed),
        **_steps(args.decoder),
        "LEARNING_RATE": float(f"{DECODER_RATE / tokenizer['decoder_width']:.2g}"),
    }
    return "\n".join(_lines("finetune_decoder", of_run, {_TOKENIZER: tokenizer}, run, mixed)) + "\n"


def _lines(
    base: str,
    of_run: Mapping[str, Any],
    networks: Mapping[str, Mapping[str, Any]],
    run: "Run",
    mixed: Mixed,
) -> Iterator[str]:
    """What `base` of gin/runs is included with: macros, all settings of networks, evaluation."""
    yield "from __gin__ import dynamic_registration"
    yield "from babeldraw.data.streams import pipeline"
    for name in networks:
        yield f"from babeldraw.models import {name.partition('.')[0]}"
    yield "from babeldraw.training import loop"
    yield f"include 'gin/runs/{base}.gin'"
    yield ""
    for name, value in of_run.items():
        yield f"{name} = {value!r}"
    yield ""
    for name, settings in networks.items():
        for field, value in settings.items():
            if field not in _SETTINGS:
                yield f"{name}.{field} = {tuple(value) if isinstance(value, list) else value!r}"
    if mixed.evaluated is None:
        yield "loop.train.eval_dataset = None"
        return
    task, split = mixed.evaluated
    yield f"eval/pipeline.Dataset.mixture_or_task_name = {task!r}"
    yield f"eval/pipeline.Dataset.zoom = {run.train_dataset.zoom!r}"
    yield f"EVAL_SPLIT = {split!r}"


def _of_data(args: argparse.Namespace, run: "Run", mixed: Mixed) -> dict[str, Any]:
    """Macros of pictures: from where, how large, how many at once, in which order."""
    from babeldraw.data import tasks

    dataset, tokenizer = run.train_dataset, run.settings["objective"]["tokenizer"]
    lengths = feature_lengths(run)
    return {
        "MIXTURE_OR_TASK_NAME": mixed.task,
        "TASK_FEATURE_LENGTHS": lengths,
        "FIT": dataset.fit,
        "BACKGROUND": dataset.background,
        # What comes ready-made is never cropped, and nor is what joins it.
        "ZOOM": 1.0 if tasks.is_ready_made(dataset.mixture_or_task_name) else dataset.zoom,
        "FLIP": dataset.flip,
        "BATCH_SIZE": min(dataset.batch_size, MOST_AT_ONCE),
        "SEED": args.seed,
        "IMAGE_SIZE": lengths["image"],
        "PATCH_SIZE": tokenizer["patch_size"],
        "CODEBOOK_SIZE": tokenizer["codebook_size"],
    }


def _steps(count: int) -> dict[str, int]:
    return {"TRAIN_STEPS": count, "WARMUP_STEPS": min(20, count // 10)}
