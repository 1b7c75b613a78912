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
    if args.data is not None and args.classes:
        raise UserError(
            "--classes is for the emoji: docs/image_models.md has the two commands for classes of "
            "your own."
        )
    if args.data is not None:
        return _for_pictures(args, output, accelerated)
    if args.size is not None:
        raise UserError("The emoji of the quickstart have 32 px: give --size with --data.")
    stages = (TOKENIZER, IMAGE_TOKENS) if args.classes else rungs.STAGES
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
    seen = own_pictures.look(args.data)
    minutes = MINUTES if args.minutes is None else args.minutes
    rung = rungs.choose_rung(accelerated, minutes)
    learned = seen.captioned or seen.train
    size, why = rungs.choose_size(rung, seen.side, learned, minutes, args.size)
    patch = rung.patches[size]
    tokens = (size // patch) ** 2
    stages = rungs.STAGES if seen.captions else (TOKENIZER,)
    text: dict[str, Any] = {}
    vocabulary, sentences, length = None, seen.sentences(), rungs.NO_TEXT
    if seen.captions:
        file, pieces, made = own_pictures.find_vocabulary(seen, output / "vocabulary.model")
        vocabulary = file if made else None
        length = own_pictures.text_length(seen.captions, file)
        text = {"TEXT_LENGTH": length, "TEXT_VOCAB_SIZE": pieces}
        sentences.append(f"vocabulary of {pieces:,} pieces: {file}; {length} tokens a text")
    bases = [rung.recipe(stage) for stage in rungs.STAGES]
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
            **(text if stage == TEXT_TO_IMAGE else {}),
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
    return Chosen(recipes, sentences, [60 * minutes * share for share in rung.shares], vocabulary)


def _of_the_run(args: argparse.Namespace, output: Path, stage: str) -> dict[str, Any]:
    settings: dict[str, Any] = {"MODEL_DIR": str(output / stage), "SEED": args.seed}
    if stage != TOKENIZER:
        settings["TOKENIZER_CHECKPOINT"] = str(output / TOKENIZER)
    return settings
