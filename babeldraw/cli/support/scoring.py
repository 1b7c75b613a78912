"""How `babeldraw quickstart` scores what it has trained, on texts or on classes."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from babeldraw.cli.support.choosing import TEXT_TO_IMAGE
from babeldraw.cli.support.stage_recipes import StageRecipe

if TYPE_CHECKING:
    from babeldraw.cli.support.runs import Run


class Scored(NamedTuple):
    """What was learned, and what shows it."""

    summary: Callable[[Mapping[str, float]], dict[str, Any]]
    """Of the seconds, `report.json`."""
    page: Callable[..., str]
    """Of the title, `report.json`, the runs and what was chosen."""
    write_samples: Callable[[Path], None] | None


def texts(recipes: Sequence[StageRecipe], seed: int) -> Scored:
    """Of prompts; of the tokenizer alone where no second stage was trained."""
    from babeldraw.evaluation import quickstart as evaluation
    from babeldraw.evaluation import quickstart_page

    opened, train, heldout = _opened(recipes, evaluation.COMPARED)
    draws = recipes[-1].stage == TEXT_TO_IMAGE
    sampler = opened.sampler(cutoff=evaluation.CUTOFF, batch_size=48) if draws else None
    captions = opened.train_dataset.captions() if draws else ()
    found = evaluation.evaluate(opened.codec(48), sampler, train, heldout, captions, seed)
    return Scored(
        functools.partial(evaluation.summary, found),
        functools.partial(quickstart_page.page, results=found),
        None
        if found.spoken is None
        else functools.partial(quickstart_page.write_samples, spoken=found.spoken, seed=seed),
    )


def classes(recipes: Sequence[StageRecipe], seed: int) -> Scored:
    """Of classes."""
    from babeldraw.evaluation import quickstart, quickstart_classes, quickstart_classes_page

    opened, train, heldout = _opened(recipes, quickstart.COMPARED)
    sampler = opened.sampler(cutoff=quickstart.CUTOFF, batch_size=48)
    names = opened.train_dataset.class_names()
    found = quickstart_classes.evaluate(opened.codec(48), sampler, train, heldout, names, seed)
    return Scored(
        functools.partial(quickstart_classes.summary, found),
        functools.partial(quickstart_classes_page.page, results=found),
        functools.partial(quickstart_classes_page.write_samples, drawn=found.drawn, seed=seed),
    )


def _opened(recipes: Sequence[StageRecipe], most: int) -> "tuple[Run, Any, Any]":
    """The last stage's run, and at most so many of its pictures, trained on and held out."""
    from babeldraw.cli.support.runs import open_run

    opened: Run = open_run(str(recipes[-1].directory))
    assert opened.eval_dataset is not None, "every recipe of the quickstart has one"
    return opened, opened.train_dataset.examples(most), opened.eval_dataset.examples(most)
