"""Files of drawn pictures: their names, what they say of themselves, the grid of them."""

import argparse
import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from PIL.PngImagePlugin import PngInfo

    from babeldraw.cli.support.exported import Exported
    from babeldraw.cli.support.runs import Run

SETTINGS = ("guidance_weight", "temperature", "cutoff", "top_k", "top_p")

ACROSS = 8
"""Pictures in a row of the grid."""


def file_stems(prompts: Iterable[str], there: Collection[str] = ()) -> list[str]:
    """A file name for each prompt, all different: lower case, cut to 60, a number if taken.

    Args:
      there: files, such as a-cook-00.png, of which no name may be used again.
    """
    taken = {re.sub(r"-(\d{2,}|grid)\.png$", "", name) for name in there}
    stems: list[str] = []
    for prompt in prompts:
        stem = re.sub(r"\W+", "-", prompt.lower()).strip("-")[:60] or "prompt"
        candidate, number = stem, 1
        while candidate in stems or candidate in taken:
            number += 1
            candidate = f"{stem}-{number}"
        stems.append(candidate)
    return stems


def in_rows(images: "np.ndarray") -> "np.ndarray":
    """`[prompts, samples, ...]` as `[prompts, rows, columns, ...]`, filled up with white."""
    import numpy as np

    prompts, samples, *shape = images.shape
    across = min(ACROSS, samples)
    blank = [(0, 0), (0, -samples % across), *[(0, 0)] * len(shape)]
    return np.pad(images, blank, constant_values=255).reshape(prompts, -1, across, *shape)


def metadata_of(
    args: argparse.Namespace,
    run: "Run | Exported",
    asked: Mapping[str, str],
    number: int,
    score: float,
) -> "PngInfo":
    """What makes the picture again.

    Args:
      asked: its prompt or class, by that name.
      number: its own among the samples of that.
    """
    settings = {name: getattr(args, name) for name in SETTINGS}
    settings |= {"and": args.terms or None, "start": args.start, "plain": args.plain or None}
    settings |= {
        "lora": run.loras or None,
        "decoder": args.decoder,
        "int8": args.int8 or None,
        "rows": args.rows,
        "redraw": args.redraw,
        "upscale": args.upscale,
    }
    if args.classifier:
        settings |= {"classifier": args.classifier, "keep": args.keep}
    given = {name: value for name, value in settings.items() if value is not None}
    return png_info(entries_of(given, run, asked, args.seed, number, score))


def entries_of(
    settings: Mapping[str, Any],
    run: "Run | Exported",
    asked: Mapping[str, str],
    seed: int,
    number: int,
    score: float,
) -> dict[str, str]:
    """What a picture says of itself; see `metadata_of`."""
    return {
        **asked,
        "seed": str(seed),
        "sample": str(number),
        "model": run.model_dir,
        "step": str(run.step),
        "score": f"{score:.4f}",
        "settings": json.dumps(settings),
    }


def png_info(entries: Mapping[str, str]) -> "PngInfo":
    """The same as PNG files hold it."""
    from PIL.PngImagePlugin import PngInfo

    metadata = PngInfo()
    for name, value in entries.items():
        metadata.add_itxt(name, value)
    return metadata
