"""`babeldraw rate`: what people prefer of two folders of pictures, asked by a page."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from babeldraw.cli.support import outputs
from babeldraw.cli.support.flags import Numeric
from babeldraw.errors import UserError
from babeldraw.ranges import Count, Seed

if TYPE_CHECKING:
    from babeldraw.evaluation.people.answers import Answers, Key, Outcome

SUMMARY = "Ask people which of two models' pictures are better, by a page; count the answers."

PAGE, KEY, RESULT = "rate.html", "key.json", "result.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folders",
        nargs="*",
        metavar="DIR",
        help="two folders of pictures, as `babeldraw sample` or `babeldraw evaluate --suite` draw "
        "them, or pictures with a text file of the same name beside each",
    )
    parser.add_argument(
        "--pairs",
        type=Numeric(Count),
        default=50,
        metavar="N",
        help="ask for so many pairs at most, drawn with the seed (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=Numeric(Seed),
        default=0,
        metavar="N",
        help="draws the pairs, their order and the sides",
    )
    parser.add_argument(
        "--answers",
        nargs="+",
        default=[],
        metavar="FILE",
        help="count these files of answers in the place of making a page",
    )
    parser.add_argument(
        "--output",
        default="runs/rate",
        metavar="DIR",
        help=f"where {PAGE} and {KEY} are, and {RESULT} is written (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Writes the page and the key; or, of answers, prints win rates and writes the result."""
    outputs.check_folder(args.output, "--output")
    if bool(args.answers) == bool(args.folders) or (args.folders and len(args.folders) != 2):
        raise UserError(
            "give two folders of pictures to make a page, or --answers with the files that it has "
            "downloaded."
        )
    return _count(args) if args.answers else _ask(args)


def _ask(args: argparse.Namespace) -> int:
    from babeldraw.evaluation.people import answers, page, pairs
    from babeldraw.evaluation.reporting import document
    from babeldraw.files import path

    pairing = pairs.pair_up(tuple(args.folders), args.pairs, args.seed)
    output = path(args.output)
    if (output / KEY).exists() and answers.read_key(str(output / KEY)).pairing != pairing.digest:
        raise UserError(
            f"{args.output} has a page of other pairs, whose answers its key is for; give another "
            "--output."
        )
    pairs.write_key(output / KEY, pairing)
    document.write(output / PAGE, page.page(pairing))
    print(f"{len(pairing.pairs)} pairs of {args.folders[0]} and {args.folders[1]}")
    print(*pairing.notes, sep="\n", end="\n" if pairing.notes else "")
    print(f"Give {output / PAGE} to raters, and keep {output / KEY}, which tells the sides.")
    print(f"Then: babeldraw rate --output {args.output} --answers FILE...")
    return 0


def _count(args: argparse.Namespace) -> int:
    from babeldraw.evaluation.people import answers
    from babeldraw.evaluation.people.page import QUESTIONS
    from babeldraw.files import path, written_whole

    output = path(args.output)
    key = answers.read_key(str(output / KEY))
    raters = answers.read_answers(args.answers, key)
    found = {question: answers.outcome(question, raters, key) for question in QUESTIONS}
    print(f"first: {key.names[0]}\nsecond: {key.names[1]}")
    print(f"{len(key.prompts)} pairs, {_people(raters)}")
    for question, outcome in found.items():
        print(f"\n{QUESTIONS[question]}\n{_table(outcome)}")
    with written_whole(output / RESULT) as file:
        result = _result(key, raters, found)
        file.write((json.dumps(result, indent=2, ensure_ascii=False) + "\n").encode())
    print(f"\n{RESULT} is in {output}")
    return 0


def _people(raters: "list[Answers]") -> str:
    names = ", ".join(
        f"{each.rater} ({max(map(len, each.sides.values()))} pairs)" for each in raters
    )
    return f"{len(raters)} rater{'s' if len(raters) > 1 else ''}: {names}"


def _table(outcome: "Outcome | None") -> str:
    if outcome is None:
        return "  nobody has answered it"
    low, high = outcome.interval
    lines = {
        "the first wins, no difference as half": f"{outcome.wins:.1%} ({low:.1%} to {high:.1%})",
        "first / no difference / second": " / ".join(
            f"{outcome.shares[name]:.1%}" for name in ("first", "tie", "second")
        ),
        "answers, of pairs": f"{outcome.answers}, {outcome.pairs}",
        "left, of answers that choose": _share(outcome.left, "nobody chooses a side"),
        "two raters of a pair agree": _share(outcome.agreement, "not known with one rater a pair"),
    }
    if outcome.kappa is not None:
        lines["Fleiss' kappa"] = f"{outcome.kappa:.2f}"
    width = max(map(len, lines))
    return "\n".join(f"  {name:{width}}  {value}" for name, value in lines.items())


def _share(value: float | None, missing: str) -> str:
    return missing if value is None else f"{value:.1%}"


def _result(
    key: "Key", raters: "list[Answers]", found: "dict[str, Outcome | None]"
) -> dict[str, Any]:
    import dataclasses

    return {
        "first": key.names[0],
        "second": key.names[1],
        "pairing": key.pairing,
        "pairs": len(key.prompts),
        "raters": [each.rater for each in raters],
        "questions": {
            question: outcome and dataclasses.asdict(outcome) for question, outcome in found.items()
        },
    }
