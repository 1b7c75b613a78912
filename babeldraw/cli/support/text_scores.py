"""What `babeldraw evaluate --objective text_encoder` does with a run."""

import argparse
import dataclasses
import itertools
import json
from typing import TYPE_CHECKING, Any

from babeldraw.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from jax.sharding import Mesh

    from babeldraw.cli.support.runs import Run

SPLITS = HELD_OUT, SEEN = "held out", "seen"

MOST = 4096
"""Texts and pairs of a split that are read unless --limit says otherwise, the first ones."""


def evaluate_texts(args: argparse.Namespace, mesh: "Mesh | None") -> None:
    """Prints the table of a text encoder's run, or a CoCa's; writes OUTPUT/report.json.

    Raises:
      UserError: it is neither, or there is nothing to read.
    """
    from babeldraw.cli.support import machines
    from babeldraw.cli.support.runs import open_run
    from babeldraw.evaluation import text_encoder
    from babeldraw.files import path
    from babeldraw.objectives.base import NotOffered
    from babeldraw.objectives.text_encoder import TextEncoding
    from babeldraw.parallel.processes import is_first

    opened = open_run(args.checkpoint, mesh, "embeddings")
    objective, rows = opened.objective, machines.pictures_at_once(args, mesh)
    guessed = found = None
    encoder = objective if isinstance(objective, TextEncoding) else None
    if encoder is not None and encoder.masked_weight:
        held_out, seen = (_texts(_dataset(args, opened, split), args.limit) for split in SPLITS)
        guessed = text_encoder.guess(encoder, opened.networks, held_out, seen, rows)
    if encoder is None or encoder.contrastive_weight:
        try:
            pairs = _pairs(_dataset(args, opened, HELD_OUT), args.limit)
            found = text_encoder.find(objective, opened.networks, pairs, rows)
        except NotOffered as error:
            raise UserError(
                f"{opened.model_dir} was trained with the objective {type(objective).__name__}, "
                f"which {error.what}; give the directory of {error.wanted}."
            ) from error
    if not is_first():
        return
    output = path(args.output) if args.output else path(opened.model_dir) / "evaluation"
    output.mkdir(parents=True, exist_ok=True)
    source = _dataset(args, opened, HELD_OUT)
    pairs_of = getattr(source, "pairs", source)
    about = {
        "checkpoint": opened.model_dir,
        "step": opened.step,
        "source": f"{pairs_of.mixture_or_task_name}, split {pairs_of.split}",
    }
    told = text_encoder.report(guessed, found) | about
    (output / "report.json").write_text(json.dumps(told, indent=2) + "\n")
    print(f"{opened.model_dir} at step {opened.step} on {about['source']}")
    print(text_encoder.table(guessed, found))
    print(f"report.json is in {output}")


def _dataset(args: argparse.Namespace, opened: "Run", split: str) -> Any:
    """That of the run's evaluation, or of its training; with the command line's task and split."""
    given: Any = opened.train_dataset
    if split == HELD_OUT:
        given = opened.eval_dataset or given
        named = {"mixture_or_task_name": args.task, "split": args.split}
        changes = {name: value for name, value in named.items() if value}
        if changes and hasattr(given, "pairs"):
            raise UserError(
                "The run read pictures and other texts, and --task and --split name one task: "
                "leave them out."
            )
        given = dataclasses.replace(given, **changes)
    return given


def _texts(dataset: Any, limit: int | None) -> "np.ndarray":
    """The tokens that are hidden in training: of texts apart, or of captions."""
    import numpy as np

    dataset = getattr(dataset, "texts", dataset)
    one = dataclasses.replace(dataset, batch_size=1, shuffle=False)
    batches = itertools.islice(one.batches(num_epochs=1), limit or MOST)
    return np.concatenate([batch["text_tokens"] for batch in batches])


def _pairs(dataset: Any, limit: int | None) -> "dict[str, np.ndarray]":
    """Pictures, or their tokens, and their texts."""
    examples = getattr(dataset, "pairs", dataset).examples(limit or MOST)
    wanted = ("text_tokens", "image", "image_tokens")
    return {name: examples[name] for name in wanted if name in examples}
