"""``babeldraw vocab``: train a SentencePiece vocabulary on the captions of a task."""

import argparse

from babeldraw.cli.support import outputs
from babeldraw.cli.support.flags import Numeric
from babeldraw.ranges import Count

SUMMARY = "Train a text vocabulary on a task's captions."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--task",
        required=True,
        metavar="NAME",
        help="task or mixture whose captions to use, as folder:/my/pictures",
    )
    parser.add_argument("--split", default="train", metavar="NAME", help="split of the task")
    parser.add_argument(
        "--size", type=Numeric(Count), default=16_000, metavar="N", help="number of ids"
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="model file to write")
    parser.add_argument(
        "--keep_case", action="store_true", help="tell upper from lower case (default: fold it)"
    )


def run(args: argparse.Namespace) -> int:
    outputs.check_file(args.output, "--output")
    from babeldraw.data import tasks, vocabulary
    from babeldraw.files import local_copy

    captions = tasks.task_captions(args.task, args.split)
    vocabulary.train_vocabulary(captions, args.output, args.size, lowercase=not args.keep_case)
    written = vocabulary.load_vocabulary(local_copy(args.output))
    print(f"wrote {written.vocab_size} pieces to {args.output}")
    return 0
