"""`babeldraw sample`: pictures of prompts, of classes or of nothing, with a trained run."""

import argparse
import math

from babeldraw.cli.support import draw_options, machines, named, outputs
from babeldraw.cli.support.flags import Numeric
from babeldraw.cli.support.prompts import check_prompts
from babeldraw.errors import UserError
from babeldraw.ranges import Count, ShareAboveZero

SUMMARY = "Draw pictures of prompts, or of classes, with a trained model."

KEEP = 0.25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `babeldraw sample` to `parser`."""
    parser.add_argument("prompts", nargs="*", metavar="PROMPT", help="what to draw")
    parser.add_argument(
        "--prompts",
        dest="prompts_file",
        metavar="FILE",
        help="a file of any number of prompts or classes, one a line or a suite: in folders of "
        "1,000, without a grid; the same command goes on after a kill",
    )
    parser.add_argument(
        "--together", type=Numeric(Count), metavar="N", help=f"{draw_options.TOGETHER_HELP}"
    )
    parser.add_argument(
        "--class",
        dest="classes",
        action="append",
        default=[],
        metavar="NAME",
        help="a class to draw, by its name or number, of a run that was trained on classes; "
        "repeatable",
    )
    parser.add_argument(
        "--unconditional", action="store_true", help="draw what the run draws when told nothing"
    )
    parser.add_argument(
        "--checkpoint",
        default=named.EMOJI,
        metavar="DIR",
        help="run directory of a run that draws, a folder with one such run inside, or an exported "
        "model: its folder or its repository of Hugging Face (default: the emoji model that comes "
        "with Babeldraw)",
    )
    parser.add_argument(
        "--examples",
        action="store_true",
        help="print prompts that the run was trained on and some that were held out, or its "
        "classes; draw nothing",
    )
    parser.add_argument(
        "--output", default="runs/samples", metavar="DIR", help="where the pictures go"
    )
    parser.add_argument(
        "--num_samples", type=Numeric(Count), default=4, metavar="N", help="pictures of each prompt"
    )
    parser.add_argument(
        "--and",
        dest="terms",
        action="append",
        nargs=2,
        default=[],
        metavar=("TEXT", "WEIGHT"),
        help='a second text for every prompt, as --and sunny 0.5 --and "rain" -1 (without rain), '
        "or a second class for every class",
    )
    draw_options.add_arguments(parser, "default: 0; with --interactive one by chance")
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
    parser.add_argument(
        "--classifier",
        metavar="DIR",
        help="keep those that this output of `babeldraw probe` takes for their --class most",
    )
    parser.add_argument(
        "--keep",
        type=Numeric(ShareAboveZero),
        metavar="SHARE",
        help=f"of what is drawn, by --classifier (default: {KEEP}): so many more are drawn",
    )
    parser.add_argument("--upscale", metavar="DIR", help="enlarge with this super-resolution run")
    parser.add_argument(
        "--plain",
        action="store_true",
        help="neither order nor enlarge with what an exported model brings for that",
    )
    parser.add_argument(
        "--interactive",
        action="store_true",
        help="then read prompts (or classes) and settings from the terminal, one a line, each with "
        "a new seed; no file is overwritten",
    )
    machines.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Writes `OUTPUT/PROMPT-NUMBER.png`, one a sample, and `OUTPUT/grid.png`, a row a prompt.

    Of a file of prompts `OUTPUT/pictures/SHARD/ID-NUMBER.png`, and no grid.
    """
    _check(args)
    if args.examples:
        from babeldraw.cli.support.known_prompts import print_examples

        print_examples(args)
        return 0
    with machines.drawing(args) as mesh:
        if args.prompts_file:
            from babeldraw.cli.support.prompt_files import draw_file

            draw_file(args, mesh)
            return 0
        from babeldraw.cli.support.conditions import UNCONDITIONAL
        from babeldraw.cli.support.conversation import Conversation
        from babeldraw.cli.support.drawing import Drawing
        from babeldraw.parallel import processes

        if args.interactive and processes.is_joined():
            raise UserError(
                "--interactive needs one process that reads the terminal; leave it out."
            )
        drawing = Drawing(args, mesh)
        if args.prompts or args.classes:
            drawing.draw([*args.prompts, *args.classes])
        if args.unconditional:
            drawing.draw([UNCONDITIONAL])
        if args.interactive:
            Conversation(args, drawing).hold()
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.prompts_file:
        _check_file(args)
    elif args.together is not None:
        raise UserError("--together is of a file of prompts; give --prompts FILE, or leave it out.")
    ways = [bool(args.prompts), bool(args.classes), args.unconditional, bool(args.prompts_file)]
    if args.examples and (any(ways) or args.interactive):
        raise UserError("--examples draws nothing; leave out what to draw, and --interactive.")
    if not (any(ways) or args.interactive or args.examples):
        raise UserError(
            "there is no prompt and no --class; say what to draw, or give --unconditional, or "
            "--interactive, or --examples to see what the run knows."
        )
    if sum(ways) > 1:
        raise UserError(
            "prompts, --class, --unconditional and --prompts FILE are ways to say what to draw, "
            "and a run knows one at a time; give one of them."
        )
    if args.unconditional:
        _check_unconditional(args)
    check_prompts(args.prompts)
    if args.keep is not None and not args.classifier:
        raise UserError("--keep needs a --classifier to choose by; give one, or leave --keep out.")
    if args.classifier and (args.prompts or args.unconditional):
        raise UserError(
            "--classifier judges what is drawn of a class; give --class NAME, or leave it out."
        )
    args.keep = args.keep or KEEP
    for name in filter(None, (args.checkpoint, args.rerank, args.upscale, args.decoder)):
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


def _check_file(args: argparse.Namespace) -> None:
    """Raises a `UserError` for options that a file of prompts does not go with."""
    others = {
        "--and": args.terms,
        "--start": args.start,
        "--upscale": args.upscale,
        "--classifier": args.classifier,
        "--rerank": args.rerank,
        "--interactive": args.interactive,
        "--examples": args.examples,
    }
    given = [name for name, value in others.items() if value]
    if given:
        raise UserError(
            f"{given[0]} is not for a file of prompts; leave it out, or give prompts one by one."
        )


def _check_unconditional(args: argparse.Namespace) -> None:
    """Raises a `UserError` for options that need something to draw."""
    needy = {
        "--interactive": args.interactive,
        "--and": args.terms,
        "--rerank": args.rerank,
        "--guidance_weight": args.guidance_weight not in (None, 1),
    }
    given = [name for name, value in needy.items() if value]
    if given:
        raise UserError(
            f"{given[0]} goes by what is to be drawn, and --unconditional says nothing of that; "
            "leave one of them out."
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
