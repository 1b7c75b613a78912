"""`babeldraw caption`: a text for each picture, with a trained CoCa run."""

import argparse
import pathlib
import sys
from typing import TYPE_CHECKING

from babeldraw.cli.support import machines, outputs
from babeldraw.cli.support.flags import Numeric
from babeldraw.errors import UserError
from babeldraw.ranges import Count

if TYPE_CHECKING:
    from jax.sharding import Mesh

SUMMARY = "Write a caption for each picture with a trained CoCa model."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `babeldraw caption` to `parser`."""
    parser.add_argument(
        "--checkpoint",
        required=True,
        metavar="DIR",
        help="run directory of a CoCa run, or an exported model",
    )
    parser.add_argument(
        "--images", required=True, metavar="DIR|FILE", help="pictures of any kind and size"
    )
    parser.add_argument(
        "--batch_size", type=Numeric(Count), metavar="N", help=machines.BATCH_SIZE_HELP
    )
    machines.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Prints a line a picture: its name, a tab, its caption. What was skipped goes to stderr."""
    outputs.check_run(args.checkpoint)
    with machines.drawing(args) as mesh:
        _caption(args, mesh)
    return 0


def _caption(args: argparse.Namespace, mesh: "Mesh | None") -> None:
    import numpy as np

    from babeldraw.cli.support.models import open_model
    from babeldraw.cli.support.terminal import printable, skipped_summary
    from babeldraw.data.picture_files.images import ImageFolder, read_framed
    from babeldraw.parallel.processes import is_first
    from babeldraw.sampling.batches import batched

    opened = open_model(args.checkpoint, mesh, "reranker")
    captioner = opened.reranker(machines.pictures_at_once(args, mesh))
    size = captioner.model.image_size
    vocabulary = opened.judge_vocabulary
    path = pathlib.Path(args.images)
    folder = None if path.is_file() else ImageFolder(path, size, opened.view)
    pictures = [(path.name, read_framed(path, size, opened.view))] if folder is None else folder
    count = 0
    for batch in batched(pictures, captioner.batch_size):
        count += len(batch)
        tokens = captioner.caption(np.stack([image for _, image in batch]))
        for (name, _), row in zip(batch, tokens, strict=True) if is_first() else ():
            caption = vocabulary.decode([int(token) for token in row if token])
            print(f"{printable(name)}\t{printable(caption)}")
    if folder is not None and folder.skipped:
        print(skipped_summary(folder.skipped), file=sys.stderr)
    if not count:
        raise UserError(f"{args.images} holds no picture that can be read; give one that does.")
