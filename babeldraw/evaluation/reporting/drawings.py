"""What runs drew while they trained: the latest sheets, and how they came to that."""

from collections.abc import Sequence

import numpy as np

from babeldraw.evaluation.reporting import pictures, sheets
from babeldraw.evaluation.reporting.document import (
    NOTHING,
    Html,
    Section,
    details,
    join,
    paragraph,
)
from babeldraw.evaluation.reporting.pictures import Shown, gallery
from babeldraw.evaluation.reporting.reading import Run
from babeldraw.evaluation.reporting.sheets import Sheet

_HELD_OUT = "eval"
_SPLITS = {_HELD_OUT: "Held out of training", "seen": "Seen in training"}
_REAL = "real"
_MADE = ("drawn", "enlarged", "rebuilt")
"""Columns that show what a stage makes: the first of these that a sheet has."""

_OLD_COLUMNS = {
    "reconstructions": "real, rebuilt, difference",
    "enlargements": "real, enlarged evenly, enlarged, difference",
}
"""Of sheets without a file that tells."""

_MEANINGS = {
    "rebuilt": "rebuilt: through the tokenizer and back, the best that a drawing can be",
    "drawn": "drawn: from the text or class alone, one drawing each, none picked",
    "enlarged": "enlarged: by the network",
    "enlarged evenly": "enlarged evenly: by bilinear interpolation, without a network",
    "difference": "difference: black where nothing differs",
}

_ASKS = {"text_to_image": "'a red bird'", "image_tokens": "--unconditional"}
"""Kind of run -> what `babeldraw sample` is asked for."""

_MOST = 12
"""Rows of a sheet that are shown."""
_GROWN = 4
"""Rows of those whose earlier steps are shown, and the number of these."""


def section(runs: Sequence[Run]) -> Section:
    """The latest sheets: of several runs beside each other where they show the same pictures."""
    if len(runs) == 1:
        return _of_run(runs[0], "Pictures")
    together = _together(runs)
    parts = together or [_of_run(run, run.label) for run in runs]
    return Section("Pictures", parts=parts)


def _of_run(run: Run, heading: str) -> Section:
    found = [_sheet(run, name, at) for name, at in sheets.steps(run.directory).items()]
    body = join(*(above for above, _ in found)) if found else paragraph(_no_pictures(run))
    return Section(heading, body, [part for _, parts in found for part in parts])


def _no_pictures(run: Run) -> str:
    if run.kind == "coca":
        return "This stage draws no pictures: it says which caption belongs to which."
    wait = "No picture has been drawn while it trained, or this version draws none."
    asked = _ASKS.get(run.kind)
    return f"{wait} `babeldraw sample {asked} --checkpoint RUN` draws some." if asked else wait


def _sheet(run: Run, name: str, at: Sequence[int]) -> tuple[Html, list[Section]]:
    """What is said of it, and its pictures by split."""
    last = sheets.read(run.directory, name, at[-1])
    if last is None:
        said = f"The sheet {name} of step {at[-1]:,} cannot be read as a picture."
        return paragraph(said), []
    if last.whole is not None:
        columns = f": {_OLD_COLUMNS[name]}" if name in _OLD_COLUMNS else ""
        said = f"{name.capitalize()} at step {last.step:,}, a row a picture{columns}."
        return join(paragraph(said), pictures.image(last.whole, said, as_it_is=True)), []
    return paragraph(_meanings(last), "small"), [
        Section(
            f"{_SPLITS.get(split, split)}, at step {last.step:,}",
            join(
                gallery(shown[:_MOST]),
                _more(shown),
                _grown(run, name, at) if split == _HELD_OUT else NOTHING,
            ),
        )
        for split, shown in last.shown.items()
    ]


def _more(shown: Sequence[Shown]) -> Html:
    left_out = len(shown) - _MOST
    return paragraph(f"{left_out} more are in the run.", "small") if left_out > 0 else NOTHING


def _meanings(sheet: Sheet) -> str:
    labels = dict.fromkeys(
        label for shown in sheet.shown.values() for each in shown for label, _ in each.pictures
    )
    known = [_MEANINGS[label] for label in labels if label in _MEANINGS]
    return f"{'; '.join(known).capitalize()}." if known else ""


def _grown(run: Run, name: str, at: Sequence[int]) -> Html:
    """The first held-out rows at four steps, side by side."""
    chosen = sorted({at[index * (len(at) - 1) // (_GROWN - 1)] for index in range(_GROWN)})
    read = [sheets.read(run.directory, name, step) for step in chosen]
    labelled = [(f"step {sheet.step:,}", sheet) for sheet in read if sheet is not None]
    rows = _beside(labelled, _HELD_OUT)[:_GROWN]
    if len(labelled) < 2 or not rows:
        return NOTHING
    return details(f"How they came to this: {len(chosen)} of {len(at)} steps", gallery(rows))


def _together(runs: Sequence[Run]) -> list[Section]:
    """The runs' latest sheets of one name; nothing where they are not of the same pictures."""
    at = [sheets.steps(run.directory) for run in runs]
    parts = []
    for name in (name for name in at[0] if all(name in each for each in at)):
        read = [
            (run.label, sheets.read(run.directory, name, each[name][-1]))
            for run, each in zip(runs, at, strict=True)
        ]
        labelled = [
            (f"{label}, step {sheet.step:,}", sheet) for label, sheet in read if sheet is not None
        ]
        for split in labelled[0][1].shown if len(labelled) == len(runs) else ():
            rows = _beside(labelled, split)
            if rows:
                gallery_and_more = join(gallery(rows[:_MOST]), _more(rows))
                parts.append(Section(_SPLITS.get(split, split), gallery_and_more))
    return parts


def _beside(labelled: Sequence[tuple[str, Sheet]], split: str) -> list[Shown]:
    """A row for each of the pictures: the real one, and what each sheet has made of it.

    Nothing where the sheets are not of the same prompts and real pictures.
    """
    labels = [label for label, _ in labelled]
    rows = []
    for each in zip(*(sheet.shown.get(split, ()) for _, sheet in labelled), strict=False):
        real = [dict(shown.pictures).get(_REAL) for shown in each]
        made = [picture for shown in each for picture in [_made(shown)] if picture is not None]
        first = [(_REAL, real[0])] if real[0] is not None else []
        is_same = all(_is_same(real[0], other) for other in real)
        if not is_same or len({shown.caption for shown in each}) > 1 or len(made) < len(each):
            return []
        rows.append(Shown(each[0].caption, [*first, *zip(labels, made, strict=True)]))
    return rows


def _is_same(one: sheets.Pixels | None, other: sheets.Pixels | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)


def _made(shown: Shown) -> sheets.Pixels | None:
    found = dict(shown.pictures)
    return next((found[label] for label in _MADE if label in found), None)
