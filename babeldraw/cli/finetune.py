"""`babeldraw finetune`: own pictures, and a new word for them, by a trained text-to-image run."""

import argparse
import dataclasses
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babeldraw.cli.support import finetuning, finetuning_recipes, machines, outputs
from babeldraw.cli.support.flags import Numeric
from babeldraw.cli.support.recipes import train_recipe
from babeldraw.cli.support.stage_recipes import NAME as RECIPE
from babeldraw.errors import UserError
from babeldraw.files import mark_output, path, written_whole
from babeldraw.ranges import Count, Seed

if TYPE_CHECKING:
    from babeldraw.cli.support.runs import Run

SUMMARY = "Teach a trained text-to-image run your pictures and a word for them; the rest stays."

LORA_FILE = "lora.safetensors"
"""In the output."""

DECODER_RECIPE = "decoder.gin"

DEFAULT_RANK = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `babeldraw finetune` to `parser`."""
    parser.add_argument(
        "--from",
        dest="source",
        required=True,
        metavar="RUN",
        help="the run or the exported model that goes on, as runs/quickstart or emoji; it is read, "
        "and not changed",
    )
    parser.add_argument(
        "--data",
        required=True,
        metavar="TASK",
        help="your pictures, 20 or more, as folder:/my/pictures; captions are not needed",
    )
    parser.add_argument(
        "--word",
        help="what they have in common, as 'my cat' or 'crayon style': it joins each caption that "
        "lacks it, and prompts with it draw it",
    )
    parser.add_argument(
        "--lora",
        type=Numeric(Count),
        nargs="?",
        const=DEFAULT_RANK,
        metavar="RANK",
        help=f"train low-rank changes alone (of rank {DEFAULT_RANK} where none is given), and "
        f"write them as {LORA_FILE} for `babeldraw sample --lora`",
    )
    parser.add_argument(
        "--prior",
        choices=finetuning.PRIORS,
        help="pictures of what it knew, half of each batch: the run's own data, drawn by it, or "
        "none (default: its data, or drawn where they are gone)",
    )
    parser.add_argument(
        "--steps", type=Numeric(Count), metavar="N", help="default: those of the recipe, 600"
    )
    parser.add_argument(
        "--decoder",
        type=Numeric(Count),
        nargs="?",
        const=finetuning_recipes.DECODER_STEPS,
        metavar="STEPS",
        help="before that, let the tokenizer's decoder learn your pictures, for so many steps "
        f"({finetuning_recipes.DECODER_STEPS} where none is given): for pictures that it gives "
        "back badly",
    )
    parser.add_argument(
        "--output", metavar="DIR", help="the new run (default: runs/WORD-finetuned or -lora)"
    )
    parser.add_argument(
        "--seed", type=Numeric(Seed), default=0, metavar="N", help="of the run, and what is drawn"
    )
    parser.add_argument(
        "--config",
        default="configs/cpu.py",
        metavar="FILE",
        help="machine file (default: configs/cpu.py)",
    )
    parser.add_argument(
        "--gin.",
        dest="gin_bindings",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="overrides a setting of the recipe, as --gin.LEARNING_RATE=5e-4",
    )


def run(args: argparse.Namespace) -> int:
    """Trains, or goes on where it was stopped; writes the changes, and says how to draw."""
    outputs.check_run(args.source)
    _check_word(args.word)
    if args.lora is not None and args.decoder is not None:
        raise UserError(
            "--decoder changes the tokenizer, of which the file of --lora has nothing: leave out "
            "one of them."
        )
    output = Path(args.output or _default_output(args))
    outputs.check_local(str(output), "--output")
    outputs.check_apart(str(output), "--output", args.data)
    config = machines.load_machine_file(args.config)
    machines.set_environment(config)
    opened = _open(args.source)
    _check_is_new(output, opened)
    _read_with_its_vocabulary(opened)

    recipe = output / RECIPE
    if not recipe.exists():
        command = _command(args)
        mixed = finetuning.mix(args, opened, output)
        keeps = finetuning.what_the_tokenizer_keeps(opened, mixed, args.decoder is not None)
        mixed = dataclasses.replace(mixed, sentences=[*mixed.sentences, keeps])
        mark_output(path(output), ours=True)
        if args.decoder is not None:
            text = finetuning_recipes.decoder_recipe_of(args, opened, output, mixed)
            with written_whole(output / DECODER_RECIPE) as file:
                file.write(text.encode())
        text = finetuning_recipes.recipe_of(args, opened, output, mixed, command)
        with written_whole(recipe) as file:
            file.write(text.encode())
    elif f"# Written by `{_command(args)}`." not in recipe.read_text().splitlines():
        raise UserError(
            f"{output} was begun by another command (see {recipe}): give the same one, or another "
            "--output to begin anew."
        )
    for sentence in _sentences(recipe):
        print(sentence, flush=True)
    if args.decoder is not None:
        train_recipe([str(output / DECODER_RECIPE)], [], config)
    train_recipe([str(recipe)], args.gin_bindings, config)
    if args.lora is not None:
        _write_changes(output, opened)
    print("\n".join(_next_commands(args, opened, output)))
    return 0


def _open(source: str) -> "Run":
    from babeldraw.cli.support.exported_runs import run_of
    from babeldraw.cli.support.named import find_model
    from babeldraw.cli.support.runs import open_run
    from babeldraw.objectives.text_to_image import TextToImage

    opened = open_run(run_of(find_model(source)), wanted="sampler")
    if type(opened.objective) is not TextToImage:
        raise UserError(
            f"{opened.model_dir} is a {type(opened.objective).__name__} run, and what goes on here "
            "is a text-to-image run that was trained whole: give such a one, as runs/quickstart."
        )
    opened.step  # noqa: B018 (raises where there is no checkpoint)
    return opened


def _check_word(word: str | None) -> None:
    if word is None:
        return
    from babeldraw.training.keeping.prompts import words_of

    if not list(words_of(word)):
        raise UserError(f"--word {word!r} has no letter in it: give a word, such as 'my cat'.")


def _default_output(args: argparse.Namespace) -> str:
    """By what is learned; not beside the run, whose folder may stand for it."""
    named = args.word or args.data.rstrip("/").rpartition("/")[2]
    name = re.sub(r"[^\w-]+", "-", named.lower()).strip("-") or "own"
    return f"runs/{name}-{'finetuned' if args.lora is None else 'lora'}"


def _check_is_new(output: Path, opened: "Run") -> None:
    if path(output) == path(opened.model_dir):
        raise UserError(f"--output {output} is the run that goes on: name another folder.")
    if (output / "settings.json").exists() and not (output / RECIPE).exists():
        raise UserError(f"--output {output} is a run already: name another folder.")


def _read_with_its_vocabulary(opened: "Run") -> None:
    """From now on every folder's captions are read with the vocabulary that the model knows."""
    from babeldraw.data.sources.names import VOCABULARY_VARIABLE

    os.environ[VOCABULARY_VARIABLE] = str(opened.vocabulary.sentencepiece_model_file)


def _command(args: argparse.Namespace) -> str:
    words = ["babeldraw", "finetune", "--from", args.source, "--data", args.data]
    for name in ("word", "lora", "prior", "steps", "decoder", "output", "seed"):
        value = getattr(args, name)
        if value is not None and (name, value) != ("seed", 0):
            words += [f"--{name}", str(value)]
    return shlex.join([*words, *(f"--gin.{binding}" for binding in args.gin_bindings)])


def _sentences(recipe: Path) -> list[str]:
    lines = recipe.read_text().splitlines()[1:]
    return [line.removeprefix("# ") for line in lines if line.startswith("# ")]


def _write_changes(output: Path, opened: "Run") -> None:
    """The trained changes, with what tells their base."""
    import numpy as np

    from babeldraw.objectives.average import averaged
    from babeldraw.objectives.lora import NAME
    from babeldraw.objectives.text_to_image import NAME as BASE
    from babeldraw.parallel.processes import is_first
    from babeldraw.training.keeping.checkpoint_files import by_name
    from babeldraw.training.keeping.checkpoints import load_constants, load_params
    from babeldraw.training.keeping.fingerprint import identity
    from babeldraw.weights import lora_files

    arrays = by_name(averaged(load_params(str(output)), NAME))
    base = load_constants(str(output))[BASE]
    changes = lora_files.Changes(
        {name: np.asarray(array) for name, array in arrays.items()},
        network=BASE,
        base=identity(by_name(base)),
        run=opened.model_dir,
        rank=next(a.shape[-1] for name, a in arrays.items() if name.endswith("/down")),
        words=_new_words(output, opened),
    )
    if is_first():
        lora_files.write(output / LORA_FILE, changes)


def _new_words(output: Path, opened: "Run") -> list[str]:
    """Of the captions that were trained on, those that the base never had."""
    from babeldraw.cli.support.known_prompts import known_to
    from babeldraw.training.keeping.prompts import read_prompts

    before: Any = known_to(opened)
    found = read_prompts(path(output)).words
    return sorted(word for word in found if before is None or word not in before.words)


def _next_commands(args: argparse.Namespace, opened: "Run", output: Path) -> list[str]:
    prompt = f"... {args.word}" if args.word else "YOUR TEXT"
    drawn = f"--checkpoint {shlex.quote(str(output))}"
    lines = [f"Look at {output / 'pictures'} and {output / 'curves.png'}"]
    if args.lora is not None:
        file = output / LORA_FILE
        size = file.stat().st_size / 1e6
        lines.append(f"{file} holds the changes, {size:.2f} MB; {args.source} is as it was.")
        drawn = f"--checkpoint {shlex.quote(args.source)} --lora {shlex.quote(str(file))} 1"
    lines.append(f'Draw: babeldraw sample "{prompt}" {drawn} --cutoff 0.1')
    return lines
