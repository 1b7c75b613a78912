"""`babeldraw sample`: pictures from prompts, with a trained text-to-image run."""

import argparse
import math

from babeldraw.cli.support import machines, outputs
from babeldraw.cli.support.flags import Numeric
from babeldraw.cli.support.prompts import check_prompts
from babeldraw.errors import UserError
from babeldraw.ranges import Count, Seed, ShareAboveZero, ShareBelowOne, Weight

SUMMARY = "Draw pictures of prompts with a trained text-to-image model."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `babeldraw sample` to `parser`."""
    parser.add_argument("prompts", nargs="*", metavar="PROMPT", help="what to draw")
    parser.add_argument(
        "--checkpoint",
        required=True,
        metavar="DIR",
        help="run directory of a text-to-image run, or a folder with one such run inside",
    )
    parser.add_argument(
        "--examples",
        action="store_true",
        help="print prompts that the run was trained on and some that were held out; draw nothing",
    )
    parser.add_argument(
        "--output", default="runs/samples", metavar="DIR", help="where the pictures go"
    )
    parser.add_argument(
        "--num_samples", type=Numeric(Count), default=4, metavar="N", help="pictures of each prompt"
    )
    parser.add_argument(
        "--guidance_weight",
        type=Numeric(float),
        default=1.0,
        metavar="W",
        help="of the prompt: above 1 follows it more, 0 draws without text",
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
        default=0.0,
        metavar="C",
        help="never draw tokens less probable than C times the best one; 0: all may be drawn",
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
        help="other numbers are other pictures (default: 0; with --interactive one by chance)",
    )
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
        "--interactive",
        action="store_true",
        help="then read prompts and settings from the terminal, one a line, each prompt with a new "
        "seed; no file is overwritten",
    )
    machines.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Writes `OUTPUT/PROMPT-NUMBER.png`, one a sample, and `OUTPUT/grid.png`, a row a prompt."""
    _check(args)
    if args.examples:
        from babeldraw.cli.support.known_prompts import print_examples

        print_examples(args)
        return 0
    with machines.drawing(args) as mesh:
        from babeldraw.cli.support.conversation import Conversation
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
            Conversation(args, drawing).hold()
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.examples and (args.prompts or args.interactive):
        raise UserError("--examples draws nothing; leave out what to draw, and --interactive.")
    if not (args.prompts or args.interactive or args.examples):
        raise UserError(
            "there is no prompt; say what to draw, or give --interactive, or --examples to see "
            "what the run knows."
        )
    check_prompts(args.prompts)
    for name in filter(None, (args.checkpoint, args.rerank, args.upscale)):
        outputs.check_run(name)
    args.seed_given = args.seed is not None
    args.seed = args.seed or 0
    if args.examples:
        return
    outputs.check_folder(args.output, "--output")
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
