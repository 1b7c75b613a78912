"""`babeldraw sample`: pictures from prompts, with a trained text-to-image run."""

import argparse
import math
from typing import TYPE_CHECKING

from babeldraw.cli.support import machines
from babeldraw.errors import UserError

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
    parser.add_argument("--num_samples", type=int, default=4, metavar="N", help="per prompt")
    parser.add_argument(
        "--guidance_weight",
        type=float,
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
    parser.add_argument("--temperature", type=float, default=1.0, metavar="T")
    parser.add_argument(
        "--cutoff",
        type=float,
        default=0.0,
        metavar="C",
        help="never draw tokens less probable than C times the best one (0: all may be drawn)",
    )
    parser.add_argument(
        "--top_k", type=int, metavar="K", help="draw among the K most probable tokens"
    )
    parser.add_argument(
        "--top_p", type=float, metavar="P", help="draw among the fewest tokens of this probability"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch_size", type=int, metavar="N", help=machines.BATCH_SIZE_HELP)
    parser.add_argument(
        "--start", metavar="FILE", help="a picture to go on from; with --rows or --redraw"
    )
    parser.add_argument("--rows", type=int, metavar="N", help="keep its first N rows of tokens")
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
    mesh = machines.mesh_to_draw_on(args)
    from babeldraw.cli.support.drawing import Drawing
    from babeldraw.parallel import failing, processes

    if args.interactive and processes.client() is not None:
        raise UserError("--interactive needs one process that reads the terminal; leave it out.")
    with failing.together():
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
    for name in ("num_samples", "batch_size"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise UserError(f"--{name} is {getattr(args, name)}; give 1 or more.")
    if not 0 <= args.temperature < math.inf:
        raise UserError(f"--temperature is {args.temperature}; give 0 (most probable) or more.")
    if not 0 <= args.cutoff < 1:
        raise UserError(f"--cutoff is {args.cutoff}; give a share from 0 up to, not including, 1.")
    if args.top_k is not None and args.top_k < 1:
        raise UserError(f"--top_k is {args.top_k}; give 1 or more.")
    if args.top_p is not None and not 0 < args.top_p <= 1:
        raise UserError(f"--top_p is {args.top_p}; give a share above 0 and up to 1.")
    if not 0 <= args.seed < 2**31:
        raise UserError(f"--seed is {args.seed}; give a whole number from 0 to {2**31 - 1}.")
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
