"""How pictures are drawn, as `sample` and `evaluate` are told: seed, guidance, filters."""

import argparse
from typing import TYPE_CHECKING

from babeldraw.cli.support import decoders, loras, machines
from babeldraw.cli.support.flags import Numeric
from babeldraw.ranges import Count, Seed, ShareAboveZero, ShareBelowOne, Weight

if TYPE_CHECKING:
    from babeldraw.cli.support.exported import Exported
    from babeldraw.cli.support.runs import Run

TOGETHER = 4
TOGETHER_HELP = (
    f"pictures that go through a device together (default: {TOGETHER}). Their last bits may depend "
    "on it, and on no other size"
)


def add_arguments(parser: argparse.ArgumentParser, seed: str = "default: 0") -> None:
    """Adds them; `seed` says in words what it is by default."""
    parser.add_argument(
        "--guidance_weight",
        type=Numeric(float),
        metavar="W",
        help="of the prompt or class: above 1 follows it more, 0 draws without (default: 1, or "
        "what an exported model was given)",
    )
    parser.add_argument(
        "--temperature",
        type=Numeric(Weight),
        default=1.0,
        metavar="T",
        help="1 as trained, below it more of what is probable",
    )
    parser.add_argument(
        "--cutoff",
        type=Numeric(ShareBelowOne),
        metavar="C",
        help="never draw tokens less probable than C times the best one; 0: all may be drawn "
        "(default: 0, or what an exported model was given)",
    )
    parser.add_argument(
        "--top_k", type=Numeric(Count), metavar="K", help="draw among the K most probable tokens"
    )
    parser.add_argument(
        "--top_p",
        type=Numeric(ShareAboveZero),
        metavar="P",
        help="draw among the fewest tokens of this probability",
    )
    parser.add_argument(
        "--seed",
        type=Numeric(Seed),
        metavar="N",
        help=f"other numbers are other pictures ({seed})",
    )
    parser.add_argument(
        "--batch_size", type=Numeric(Count), metavar="N", help=machines.BATCH_SIZE_HELP
    )
    add_int8(parser)
    loras.add_arguments(parser)
    decoders.add_arguments(parser)


def add_int8(parser: argparse.ArgumentParser) -> None:
    """Adds `--int8` to the parser of a command that draws."""
    parser.add_argument(
        "--int8",
        action="store_true",
        help="draw with weights rounded to one byte: half the memory and the reading of bfloat16, "
        "for accelerators; other pictures than without (docs/sampling.md)",
    )


def set_defaults(args: argparse.Namespace, opened: "Run | Exported") -> None:
    """Settings that nobody gave: the model's own, or else 1 and 0, by which all may be drawn."""
    for name, value in {"guidance_weight": 1.0, "cutoff": 0.0, **opened.defaults}.items():
        if getattr(args, name, 0) is None:
            setattr(args, name, value)
