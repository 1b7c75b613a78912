"""What `babeldraw quickstart` does: recipes for the data, the machine and the minutes."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from babeldraw.cli.support import own_pictures, rungs, stage_recipes
from babeldraw.cli.support.stage_recipes import StageRecipe
from babeldraw.errors import UserError

MINUTES = 30.0
"""Of one's own pictures."""

TOKENIZER, TEXT_TO_IMAGE = rungs.STAGES
IMAGE_TOKENS = "image_tokens"
"""The second stage where classes are learned in the place of texts."""


@dataclasses.dataclass(frozen=True)
class Chosen:
    """What the command does.

    Attributes:
      recipes: of each stage to be trained.
      sentences: what was seen and chosen, and why.
      seconds: for each stage; empty where the recipes say the steps.
      vocabulary: what the environment has to name for a run on these data, if anything.
    """

    recipes: Sequence[StageRecipe]
    sentences: Sequence[str]
    seconds: Sequence[float] = ()
    vocabulary: Path | None = None


def choose(args: argparse.Namespace, output: Path, accelerated: bool) -> Chosen:
    """From data, machine and minutes; the same each time.

    Raises:
      UserError: these do not go together.
    """
    if args.data is not None:
        return _for_pictures(args, output, accelerated)
    if args.size is not None:
        raise UserError("The emoji of the quickstart have 32 px: give --size with --data.")
    if args.classes:
        raise UserError("The emoji of the quickstart have a role each: give --classes alone.")
    stages = (TOKENIZER, _second(args))
    bases = [f"gin/runs/quickstart_{stage}.gin" for stage in stages]
    taken = stage_recipes.share_out(args.gin_bindings, bases)
    recipes = [
        StageRecipe(stage, output / stage, base, _of_the_run(args, output, stage), own)
        for stage, base, own in zip(stages, bases, taken, strict=True)
    ]
    minutes = args.minutes
    seconds = [] if minutes is None else [60 * minutes * share for share in rungs.RUNGS[0].shares]
    return Chosen(recipes, [], seconds)


def _for_pictures(args: argparse.Namespace, output: Path, accelerated: bool) -> Chosen:
    seen = own_pictures.look(args.data, args.classes)
    minutes = MINUTES if args.minutes is None else args.minutes
    rung = rungs.choose_rung(accelerated, minutes)
    if seen.classes is not None:
        rung = _rung_of_classes(accelerated)
    learned = seen.captioned or seen.train
    size, why = rungs.choose_size(rung, seen.side, learned, minutes, args.size)
    patch = rung.patches[size]
    tokens = (size // patch) ** 2
    both = TOKENIZER, _second(args)
    stages = both if seen.captions or seen.classes else both[:1]
    asked: dict[str, Any] = {}  # what the second stage is told
    vocabulary, sentences, length = None, seen.sentences(), rungs.NO_TEXT
    if seen.captions:
        file, pieces, made = own_pictures.find_vocabulary(seen, output / "vocabulary.model")
        vocabulary = file if made else None
        length = own_pictures.text_length(seen.captions, file)
        asked = {"TEXT_LENGTH": length, "TEXT_VOCAB_SIZE": pieces}
        sentences.append(f"vocabulary of {pieces:,} pieces: {file}; {length} tokens a text")
    if seen.classes is not None:
        asked = {"CLASS_FEATURE": seen.classes.feature, "NUM_CLASSES": len(seen.classes.names)}
    bases = [rung.recipe(stage) for stage in both]
    taken = stage_recipes.share_out(args.gin_bindings, bases)
    recipes = []
    for stage, base, own in zip(stages, bases, taken, strict=False):  # perhaps of the first alone
        codes = rungs.choose_codes(stage_recipes.value(base, "CODEBOOK_SIZE"), seen.train, tokens)
        count = seen.train if stage == TOKENIZER else seen.captioned
        batch = rungs.choose_batch(stage_recipes.value(base, "BATCH_SIZE"), count, seen.held_out)
        settings = {
            **_of_the_run(args, output, stage),
            "MIXTURE_OR_TASK_NAME": args.data,
            "EVAL_SPLIT": seen.eval_split,
            "TASK_FEATURE_LENGTHS": {"text": length, "image": size},
            **({} if stage == TOKENIZER else asked),
            "FIT": seen.advice.fit,
            "BACKGROUND": seen.advice.background,
            "IMAGE_SIZE": size,
            "PATCH_SIZE": patch,
            "CODEBOOK_SIZE": codes,
            "BATCH_SIZE": batch,
        }
        recipes.append(StageRecipe(stage, output / stage, base, settings, own))
    sentences.append(
        f"rung {rung.name} ({minutes:g} minutes on {'an accelerator' if accelerated else 'CPUs'}), "
        f"{size} px ({why}) as {tokens} tokens of {patch} x {patch} px, {codes} codes"
    )
    shares = rung.shares if len(stages) > 1 else [sum(rung.shares)]
    return Chosen(recipes, sentences, [60 * minutes * share for share in shares], vocabulary)


def _second(args: argparse.Namespace) -> str:
    return TEXT_TO_IMAGE if args.classes is None else IMAGE_TOKENS


def _rung_of_classes(accelerated: bool) -> rungs.Rung:
    if accelerated:
        raise UserError(
            "The quickstart of your own classes has a recipe for CPUs alone: set "
            "JAX_PLATFORMS=cpu, or give the commands of docs/image_models.md."
        )
    return rungs.RUNGS[0]


def _of_the_run(args: argparse.Namespace, output: Path, stage: str) -> dict[str, Any]:
    settings: dict[str, Any] = {"MODEL_DIR": str(output / stage), "SEED": args.seed}
    if stage != TOKENIZER:
        settings["TOKENIZER_CHECKPOINT"] = str(output / TOKENIZER)
    return settings
