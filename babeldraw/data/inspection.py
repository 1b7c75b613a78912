"""What is in a task: counts, sizes, caption lengths, near-duplicates, and pictures to look at."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import seqio
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from babeldraw.data import duplicates, raw, tasks
from babeldraw.data.raw import RawExample
from babeldraw.data.sources.pictures import Skipped
from babeldraw.errors import UserError

SIDES = (32, 64, 128, 256, 512, 1024)
WORDS = (1, 2, 4, 8, 16, 32, 64, 128)
TILE, CAPTION_HEIGHT, COLUMNS = 160, 50, 6


@dataclasses.dataclass
class Inspection:
    """What `inspect_task` found.

    Attributes:
      names: of the pictures that were read, in order.
      sides: the shorter side of each, in pixels.
      words: of each caption, the number of its words.
      skipped: what could not be used; of the whole source, where its captions are at fault.
      groups: names of pictures that are near-duplicates of each other.
      shown: pictures for the contact sheet, with a caption each.
    """

    names: list[str] = dataclasses.field(default_factory=list)
    sides: list[int] = dataclasses.field(default_factory=list)
    words: list[int] = dataclasses.field(default_factory=list)
    skipped: list[Skipped] = dataclasses.field(default_factory=list)
    groups: list[list[str]] = dataclasses.field(default_factory=list)
    shown: list[tuple[Image.Image, str]] = dataclasses.field(default_factory=list)


def inspect_task(name: str, split: str, limit: int | None = None, shown: int = 36) -> Inspection:
    """Reads a split (or its first `limit` pictures) once, as the files have it.

    Args:
      shown: pictures on the contact sheet, at even distances.

    Raises:
      UserError: unknown task or split, or a source that cannot be read.
    """
    provider = tasks.find_task(name, split)
    sources = [task.source for task in raw.subtasks(provider, split)]
    total = sum(source.num_input_examples(split) for source in sources)
    total = total if limit is None else min(total, limit)
    found = Inspection()
    looks = duplicates.Looks()
    for example in _read(sources, split, limit):
        image, captions = example.image, example.captions
        if len(found.shown) < shown and len(found.names) >= len(found.shown) * total / shown:
            found.shown.append((_thumbnail(image), captions[0] if captions else ""))
        found.names.append(example.name)
        found.sides.append(min(image.shape[:2]))
        found.words += [len(caption.split()) for caption in captions]
        looks.add(image)
    found.groups = [[found.names[index] for index in group] for group in looks.groups()]
    found.skipped = [source.skipped for source in sources if hasattr(source, "skipped")]
    return found


def _read(
    sources: Sequence[seqio.DataSource], split: str, limit: int | None
) -> Iterator[RawExample]:
    examples = (example for source in sources for example in raw.raw_examples(source, split))
    for number, example in enumerate(itertools.islice(examples, limit)):
        yield example if example.name else dataclasses.replace(example, name=f"#{number}")


def _thumbnail(image: UInt8[np.ndarray, "height width 3"]) -> Image.Image:
    thumbnail = Image.fromarray(image)
    thumbnail.thumbnail((TILE, TILE))
    return thumbnail


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
        draw.text((left, top + TILE + 2), _wrap(caption, draw, font), "black", font, spacing=2)
    return sheet


def _wrap(caption: str, draw: ImageDraw.ImageDraw, font: Any) -> str:
    """At most three lines of the width of a tile."""
    lines = [""]
    for character in caption[:200]:
        if draw.textlength(lines[-1] + character, font) > TILE:
            if len(lines) == 3:
                return "\n".join(lines)[:-1] + "…"
            before, space, word = lines[-1].rpartition(" ")
            lines[-1:] = [before, word + character] if space else [lines[-1], character]
        else:
            lines[-1] += character
    return "\n".join(lines)
