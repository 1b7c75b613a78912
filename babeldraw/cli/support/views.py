"""How the pictures of a command come: --fit and --background."""

import argparse
import dataclasses
import re
from typing import TYPE_CHECKING

from babeldraw.sizes import Size, from_sides

if TYPE_CHECKING:
    from babeldraw.data.picture_files.view import View

FITS = ("crop", "pad", "stretch")


def add_arguments(parser: argparse.ArgumentParser, default: str) -> None:
    """Adds both; `default` says in words where they come from unless given."""
    parser.add_argument(
        "--fit", choices=FITS, help=f"as FIT in training: cut, pad or stretch (default: {default})"
    )
    parser.add_argument(
        "--background",
        metavar="COLOUR",
        help="of transparent and padded pictures, as white or #e0e0e0 (default: as --fit)",
    )


def size(text: str) -> Size:
    """Of --size: 64, or 48x64 for pictures that are 48 px high and 64 px wide."""
    match = re.fullmatch(r"([1-9]\d*)(?:x([1-9]\d*))?", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; give pixels, as 64 or 48x64")
    return from_sides(int(match[1]), int(match[2] or match[1]))


def view_of(args: argparse.Namespace, view: "View") -> "View":
    """`view`, but for what the arguments say.

    Raises:
      UserError: --background is no colour.
    """
    given = {name: getattr(args, name) for name in ("fit", "background")}
    return dataclasses.replace(view, **{name: value for name, value in given.items() if value})
