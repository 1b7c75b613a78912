"""The page and the sheet that show what the quickstart of classes learned."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from babeldraw.evaluation import quickstart_page
from babeldraw.evaluation.quickstart import CUTOFF
from babeldraw.evaluation.quickstart_classes import DrawnClass, Results
from babeldraw.evaluation.reporting import document
from babeldraw.evaluation.reporting.document import Section, join, paragraph
from babeldraw.evaluation.reporting.pictures import Shown, gallery
from babeldraw.training.watching.captioned import write_captioned

SHOWN = 48
"""Drawings on the page, or one of each class."""

SHEET_CLASSES, SHEET_SAMPLES = 24, 4


def page(
    title: str,
    summary: Mapping[str, Any],
    results: Results,
    model_dirs: Sequence[Path],
    chosen: Sequence[str],
) -> str:
    """`report.html`; as `quickstart_page.page`."""
    lead = f"The last call of the command took {summary['wall_seconds'] / 60:.1f} minutes."
    rest = quickstart_page.rest(results.tokenized, sentences(summary), model_dirs, chosen)
    return document.page(title, lead, [Section("Drawn by class", _drawn(results.drawn)), *rest])


def sentences(summary: Mapping[str, Any]) -> list[str]:
    """What report.json says, with units."""
    classes, losses = summary["classes"], summary["image_tokens"]
    return [
        quickstart_page.of_tokenizer(summary["tokenizer"]),
        f"The training picture nearest to a drawing is of the class that was asked for in "
        f"{classes['right']:.0%} of {classes['drawn']} drawings. Of real pictures that were held "
        f"out it is in {classes['heldout_real_right']:.0%}, and by chance it would be in "
        f"{classes['chance']:.0%}.",
        f"{classes['distinct_nearest']} different training pictures are the nearest one to a "
        f"drawing; if each drawing were a training picture of its class, drawn at random, they "
        f"would be {classes['distinct_of_real']:.0f}. Far fewer mean that drawings are alike.",
        f"The class gap, by which the loss grows where the class is not told, is "
        f"{losses['class_gap']:.3f} nats a token on training pictures and "
        f"{losses['heldout_class_gap']:.3f} on held-out ones; near 0 classes are ignored. To a "
        f"perfect model {classes['in_all']} classes are worth {classes['most_class_gap']:.3f}.",
    ]


def write_samples(path: Path, drawn: Sequence[DrawnClass], seed: int, columns: int = 4) -> None:
    """A sheet of some drawings of at most `SHEET_CLASSES` classes, each row over the class's name.

    The file says what draws them again: `classes`, `seed` and `settings`.
    """
    chosen = [drawn[index] for index in _spread(len(drawn), SHEET_CLASSES)]
    pictures = np.stack([one.samples[:SHEET_SAMPLES] for one in chosen])
    names = [one.name for one in chosen]
    settings = {"guidance_weight": 1.0, "temperature": 1.0, "cutoff": CUTOFF}
    said = {"classes": json.dumps(names), "seed": str(seed), "settings": json.dumps(settings)}
    write_captioned(path, pictures[:, None], names, columns=min(columns, len(chosen)), said=said)


def _spread(count: int, most: int) -> list[int]:
    """At most so many of `count` numbers, at even distances."""
    found: list[int] = np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()
    return found


def _drawn(drawn: Sequence[DrawnClass]) -> document.Html:
    each = max(1, SHOWN // len(drawn))
    shown = [
        Shown(
            one.name,
            [("nearest real", one.nearest[index]), ("drawn", one.samples[index])],
            "" if one.right[index] else "Nearest to a picture of another class.",
        )
        for one in drawn
        for index in range(min(each, len(one.samples)))
    ]
    said = (
        "The first drawings of each class, none picked, each beside the training picture that is "
        "nearest to it."
    )
    return join(paragraph(said), gallery(shown))
