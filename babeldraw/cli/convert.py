"""`babeldraw convert`: checkpoints of T5X's trainer as run directories, and back."""

import argparse

from babeldraw.cli.support import outputs
from babeldraw.cli.support.flags import Numeric
from babeldraw.errors import UserError
from babeldraw.ranges import Whole

SUMMARY = "Make a run directory of what T5X has trained, or a MODEL_DIR of T5X's of a run."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `babeldraw convert` to `parser`."""
    parser.add_argument(
        "--from",
        dest="source",
        required=True,
        metavar="DIR",
        help="MODEL_DIR of T5X's trainer under gin/t5x, or a run directory",
    )
    parser.add_argument(
        "--to", dest="output", required=True, metavar="DIR", help="folder to write, new or empty"
    )
    parser.add_argument(
        "--step",
        type=Numeric(Whole),
        metavar="N",
        help="of the checkpoint (default: the latest)",
    )


def run(args: argparse.Namespace) -> int:
    """Writes OUTPUT; prints what is in it."""
    from babeldraw import files

    is_run = (files.path(args.source) / "settings.json").exists()
    outputs.check_folder(args.output, "--to")
    from babeldraw.cli.support.runs import open_run
    from babeldraw.t5x_models import conversion

    if files.names_in(files.path(args.output)):
        raise UserError(f"--to {args.output} is not empty; name a new folder.")
    described = args.source if is_run else conversion.described_run(args.source)
    objective = open_run(described).objective
    convert = conversion.to_t5x if is_run else conversion.from_t5x
    made = convert(args.source, args.step, args.output, objective)
    kind = "T5X's trainer" if is_run else "babeldraw"
    print(
        f"step {made.step} is in {args.output}, for {kind}: {made.parameters} arrays of the model "
        f"and {made.state} of its optimizer, bit for bit"
    )
    return 0
