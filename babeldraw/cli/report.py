"""`babeldraw report`: one page about a run, or about several side by side."""

import argparse

from babeldraw.cli.support import outputs
from babeldraw.errors import UserError

SUMMARY = "Write a page about a run, or compare runs, or evaluations of one suite."

NAME = "report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="run directories, local or in a bucket, or folders of such; several are compared. Or "
        "two or more outputs of `babeldraw evaluate --suite`, prompt by prompt",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help=f"default: RUN/{NAME}, and of several runs {NAME} in this folder",
    )


def run(args: argparse.Namespace) -> int:
    """Writes the page and says where it is; returns 0."""
    from babeldraw.evaluation.reporting import document, reading, sections
    from babeldraw.evaluation.suites.folders import is_report

    if any(map(is_report, args.runs)):
        return _compare(args)
    runs = reading.read_all(args.runs)
    output = args.output or (NAME if len(runs) > 1 else f"{runs[0].directory.rstrip('/')}/{NAME}")
    outputs.check_file(output, "--output")
    document.write(output, sections.report(runs))
    print(f"Look at {output}")
    return 0


def _compare(args: argparse.Namespace) -> int:
    """Of reports of one suite."""
    from babeldraw.evaluation.reporting import document
    from babeldraw.evaluation.suites import comparison, read_reports

    if len(args.runs) == 1:
        raise UserError(
            f"{args.runs[0]} has its report.html already; give a second evaluation of the same "
            "suite, to compare them."
        )
    reports = read_reports.read_all(args.runs)
    output = args.output or NAME
    outputs.check_file(output, "--output")
    document.write(output, comparison.page(reports))
    print(f"Look at {output}")
    return 0
