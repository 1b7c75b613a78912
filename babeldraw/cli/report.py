"""`babeldraw report`: one page about a run, or about several side by side."""

import argparse

from babeldraw.cli.support import outputs

SUMMARY = "Write a page about a run: pictures, what it learned, curves, costs, what to try next."

NAME = "report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="run directories, local or in a bucket, or folders of such; several are compared",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help=f"default: RUN/{NAME}, and of several runs {NAME} in this folder",
    )


def run(args: argparse.Namespace) -> int:
    """Writes the page and says where it is; returns 0."""
    from babeldraw.evaluation.reporting import document, reading, sections

    runs = reading.read_all(args.runs)
    output = args.output or (NAME if len(runs) > 1 else f"{runs[0].directory.rstrip('/')}/{NAME}")
    outputs.check_file(output, "--output")
    document.write(output, sections.report(runs))
    print(f"Look at {output}")
    return 0
