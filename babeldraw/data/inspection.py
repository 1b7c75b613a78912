"""What is in a task: counts, sizes, captions, copies, what a crop cuts, and pictures to look at."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import seqio
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from babeldraw.data import duplicates, raw, tasks
from babeldraw.data.classes import counted
from babeldraw.data.picture_files import content
from babeldraw.data.picture_files.content import MUCH, Content
from babeldraw.data.picture_files.framing import frame
from babeldraw.data.picture_files.view import PLAIN, View
from babeldraw.data.raw import RawExample
from babeldraw.data.sources.pictures import Skipped, named, printable
from babeldraw.errors import UserError
from babeldraw.lettering import wrap
from babeldraw.sizes import Size

SIDES = (32, 64, 128, 256, 512, 1024)
WORDS = (1, 2, 4, 8, 16, 32, 64, 128)
TILE, CAPTION_HEIGHT, LINES, COLUMNS = 160, 50, 3, 6


@dataclasses.dataclass
class Inspection:
    """What `inspect_task` found.

    Attributes:
      listed: of each split, how many pictures it has, readable or not.
      names: of the pictures that were read, in order.
      sides: the shorter side of each, in pixels.
      contents: what each shows, and what a crop would cut of it.
      captioned: how many of them have captions.
      words: of each caption, the number of its words.
      classes: of each feature that has some, how many pictures each has, by its name.
      skipped: what could not be used; of the whole source, where its captions are at fault.
      groups: names of pictures that are near-duplicates of each other.
      shown: pictures for the contact sheet as they are seen, with a caption each, or its class.
    """

    listed: dict[str, int] = dataclasses.field(default_factory=dict)
    names: list[str] = dataclasses.field(default_factory=list)
    sides: list[int] = dataclasses.field(default_factory=list)
    contents: list[Content] = dataclasses.field(default_factory=list)
    captioned: int = 0
    words: list[int] = dataclasses.field(default_factory=list)
    classes: dict[str, Counter[str]] = dataclasses.field(default_factory=dict)
    skipped: list[Skipped] = dataclasses.field(default_factory=list)
    groups: list[list[str]] = dataclasses.field(default_factory=list)
    shown: list[tuple[Image.Image, str]] = dataclasses.field(default_factory=list)


def inspect_task(
    name: str,
    split: str | None = None,
    limit: int | None = None,
    shown: int = 36,
    *,
    view: View = PLAIN,
    size: Size = TILE,
) -> Inspection:
    """Reads a task once, as the files have it.

    Args:
      split: one of its splits; None: all.
      limit: read at most so many pictures, at even distances.
      shown: pictures on the contact sheet, at even distances.
      view, size: how these come.

    Raises:
      UserError: unknown task or split, or a source that cannot be read.
    """
    provider = tasks.find_pictures(name, split or "train", view=view)
    parts = [
        (part, task.source)
        for part in ([split] if split else provider.splits)
        for task in raw.subtasks(provider, part)
    ]
    counts = [source.num_input_examples(part) or 0 for part, source in parts]
    every = -(-sum(counts) // limit) if limit else 1
    found, looks = Inspection(), duplicates.Looks()
    for (part, _), count in zip(parts, counts, strict=True):
        found.listed[part] = found.listed.get(part, 0) + count
    total = sum(-(-count // every) for count in counts)
    for example in _read(parts, every):
        if len(found.shown) < shown and len(found.names) >= len(found.shown) * total / shown:
            told = (*example.captions, *example.classes.values(), "")
            found.shown.append((_tile(frame(example.image, size, view)), told[0]))
        found.names.append(example.name)
        found.sides.append(min(example.image.shape[:2]))
        found.contents.append(content.measure(example.image, example.name, size))
        found.captioned += bool(example.captions)
        found.words += [len(caption.split()) for caption in example.captions]
        for feature, name in example.classes.items():
            found.classes.setdefault(feature, Counter())[name] += 1
        looks.add(example.image)
    found.groups = [[found.names[index] for index in group] for group in looks.groups()]
    sources = dict.fromkeys(source for _, source in parts)
    found.skipped = [source.skipped for source in sources if hasattr(source, "skipped")]
    return found


def _read(parts: Sequence[tuple[str, seqio.DataSource]], every: int) -> Iterator[RawExample]:
    number = 0
    for split, source in parts:
        for example in raw.raw_examples(source, split, 0, every):
            yield dataclasses.replace(example, name=example.name or f"{split}: #{number}")
            number += 1


def _tile(image: UInt8[np.ndarray, "height width 3"]) -> Image.Image:
    """As large as a tile has room; single pixels of small ones are seen."""
    tile = Image.fromarray(image)
    scale = TILE / max(tile.size)
    width, height = (max(1, round(side * scale)) for side in tile.size)
    method = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    return tile.resize((width, height), method)


def report(found: Inspection, view: View = PLAIN) -> list[str]:
    """What was found in lines for the terminal."""
    listed = sum(found.listed.values())
    splits = ", ".join(f"{count} {split}" for split, count in found.listed.items())
    faults = [line for skipped in found.skipped for line in named(skipped)]
    copies = sum(len(group) - 1 for group in found.groups)
    read = f"{len(found.names)} pictures were read of {listed} ({splits})"
    return [
        f"{read}, {found.captioned} with a caption; {len(found.words)} captions",
        "shorter side, pixels:",
        *histogram(found.sides, SIDES),
        *(["words of a caption:", *histogram(found.words, WORDS)] if found.words else []),
        *(f"{feature}: {counted(labels)}" for feature, labels in found.classes.items()),
        "left out:",
        *(f"  {line}" for line in faults or ["nothing"]),
        f"near-duplicates: {copies} pictures in {len(found.groups)} groups",
        *(f"  {', '.join(map(printable, group[:6]))}" for group in found.groups[:10]),
        *_what_a_crop_cuts(found.contents),
        *_advice(found.contents, view),
    ]


def _what_a_crop_cuts(contents: Sequence[Content]) -> Iterator[str]:
    """And which pictures show nothing at all."""
    losing = sorted((one for one in contents if one.lost > MUCH), key=lambda one: -one.lost)
    yield (
        f"a centre crop cuts more than {MUCH:.0%} of what is shown of {len(losing)} pictures of "
        f"{len(contents)}{':' if losing else ''}"
    )
    yield from (f"  {one.lost:.0%} of {printable(one.name)}" for one in losing[:10])
    if len(losing) > 10:
        yield f"  and {len(losing) - 10} more"
    if empty := [printable(one.name) for one in contents if not one.shown]:
        more = f" and {len(empty) - 10} more" if len(empty) > 10 else ""
        yield f"{len(empty)} of one colour (on this BACKGROUND): {', '.join(empty[:10])}{more}"


def _advice(contents: Sequence[Content], view: View) -> Iterator[str]:
    if contents:
        advice = content.recommended_fit(contents)
        background = f" --gin.BACKGROUND={advice.background}" if advice.fit == "pad" else ""
        yield f"recommended: --gin.FIT={advice.fit}{background}, as {advice.reason}"
        if advice.fit != view.fit:
            yield f"  (shown here is --fit={view.fit}; --fit={advice.fit} shows that)"


def histogram(values: Sequence[int], borders: Sequence[int], width: int = 40) -> list[str]:
    """A line a bin: its range, a bar, its count. Bins begin at the borders.

    The first bin takes what lies below the second border, the last what lies from its border on;
    empty bins at the ends are left out.
    """
    bins = np.clip(np.digitize(values, borders), 1, len(borders)) - 1
    counts = np.bincount(bins, minlength=len(borders))
    used = np.flatnonzero(counts)
    lines = []
    for index in range(used[0], used[-1] + 1) if len(used) else ():
        low = borders[index] if index or min(values) >= borders[0] else 0
        high = borders[index + 1] - 1 if index + 1 < len(borders) else None
        label = f"{low}+" if high is None else str(low) if low == high else f"{low}-{high}"
        bar = "#" * int(np.ceil(width * counts[index] / counts.max()))
        lines.append(f"{label:>9} {bar:{width}} {counts[index]}")
    return lines


def contact_sheet(shown: Sequence[tuple[Image.Image, str]]) -> Image.Image:
    """The pictures in rows, each over its caption.

    Letters that Pillow's own font lacks come out as boxes.

    Raises:
      UserError: there is no picture.
    """
    if not shown:
        raise UserError("There is no readable picture for a contact sheet: mend what is left out.")
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    cell = (TILE + 8, TILE + CAPTION_HEIGHT)
    sheet = Image.new("RGB", (columns * cell[0], rows * cell[1]), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(11)
    for index, (image, caption) in enumerate(shown):
        left, top = index % columns * cell[0] + 4, index // columns * cell[1] + 4
        corner = (left + (TILE - image.width) // 2, top + (TILE - image.height) // 2)
        sheet.paste(image, corner)
        text = "\n".join(wrap(caption[:200], font, TILE, LINES))
        draw.text((left, top + TILE + 2), text, "black", font, spacing=2)
    return sheet
