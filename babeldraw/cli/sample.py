"""`babeldraw sample`: pictures from prompts, with a trained text-to-image run."""

import argparse
import math
from typing import TYPE_CHECKING

from babeldraw.cli.support import machines, outputs
from babeldraw.cli.support.flags import Numeric
from babeldraw.cli.support.prompts import check_prompts
from babeldraw.errors import UserError
from babeldraw.ranges import Count, Seed, ShareAboveZero, ShareBelowOne, Weight

if TYPE_CHECKING:
    from babeldraw.cli.support.drawing import Drawing

SUMMARY = "Draw pictures of prompts with a trained text-to-image model."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `babeldraw sample` to `parser`."""
    parser.add_argument("prompts", nargs="*", metavar="PROMPT", help="what to draw")
    parser.add_argument(
        "--checkpoint", required=True, metavar="DIR", help="run directory of a text-to-image run"
    )
    parser.add_argument("--output", default="samples", metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--num_samples", type=Numeric(Count), default=4, metavar="N", help="per prompt"
    )
    parser.add_argument(
        "--guidance_weight",
        type=Numeric(float),
        default=1.0,
        metavar="W",
        help="of the prompt: above 1 follows it more, 0 draws without text (default: 1)",
    )
    parser.add_argument(
        "--and",
        dest="terms",
        action="append",
        nargs=2,
        default=[],
        metavar=("TEXT", "WEIGHT"),
        help='a second text for every prompt, as --and sunny 0.5 --and "rain" -1 (without rain)',
    )
    parser.add_argument("--temperature", type=Numeric(Weight), default=1.0, metavar="T")
    parser.add_argument(
        "--cutoff",
        type=Numeric(ShareBelowOne),
        default=0.0,
        metavar="C",
        help="never draw tokens less probable than C times the best one (0: all may be drawn)",
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
    parser.add_argument("--seed", type=Numeric(Seed), default=0)
    parser.add_argument(
        "--batch_size", type=Numeric(Count), metavar="N", help=machines.BATCH_SIZE_HELP
    )
    parser.add_argument(
        "--start", metavar="FILE", help="a picture to go on from; with --rows or --redraw"
    )
    parser.add_argument(
        "--rows", type=Numeric(Count), metavar="N", help="keep its first N rows of tokens"
    )
    parser.add_argument(
        "--redraw",
        metavar="LEFT,TOP,WIDTH,HEIGHT",
        help="keep all of it but this box, in pixels of the drawn picture",
    )
    parser.add_argument(
        "--rerank", metavar="DIR", help="order the samples of a prompt with this CoCa run"
    )
    parser.add_argument("--upscale", metavar="DIR", help="enlarge with this super-resolution run")
    parser.add_argument(
        "--interactive", action="store_true", help="then read prompts from the terminal, one a line"
    )
    machines.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Writes `OUTPUT/PROMPT-NUMBER.png`, one a sample, and `OUTPUT/grid.png`, a row a prompt."""
    _check(args)
    with machines.drawing(args) as mesh:
        from babeldraw.cli.support.drawing import Drawing
        from babeldraw.parallel import processes

        if args.interactive and processes.is_joined():
            raise UserError(
                "--interactive needs one process that reads the terminal; leave it out."
            )
        drawing = Drawing(args, mesh)
        if args.prompts:
            drawing.draw(args.prompts)
        if args.interactive:
            _converse(drawing)
    return 0


def _converse(drawing: "Drawing") -> None:
    print("A prompt a line; an empty line ends.")
    while True:
        try:
            prompt = input("prompt> ").strip()
        except EOFError:
            return
        if not prompt:
            return
        try:
            drawing.draw([prompt])
        except UserError as error:  # Of this prompt; the next one may be better.
            print(error)


def _check(args: argparse.Namespace) -> None:
    if not args.prompts and not args.interactive:
        raise UserError("there is no prompt; say what to draw, or give --interactive.")
    check_prompts(args.prompts)
    outputs.check_folder(args.output, "--output")
    for name in filter(None, (args.checkpoint, args.rerank, args.upscale)):
        outputs.check_run(name)
    args.terms = [(text, _weight(text, weight)) for text, weight in args.terms]
    if (args.rows is not None) + (args.redraw is not None) != (args.start is not None):
        raise UserError(
            "--start FILE needs one of --rows and --redraw, and they need it: say which part of "
            "the picture stays."
        )


def _weight(text: str, weight: str) -> float:
    try:
        number = float(weight)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(
            f"--and {text!r} has the weight {weight!r}; give a number, as --and rain -1"
        )
    return number
