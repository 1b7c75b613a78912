"""What `babeldraw evaluate --suite` does: draws, scores, and writes the report."""

import argparse
import dataclasses
import functools
import sys
import time
from typing import TYPE_CHECKING, Any

from babeldraw.cli.support import draw_options, machines, outputs, scorers
from babeldraw.cli.support.flags import Numeric
from babeldraw.errors import UserError
from babeldraw.files import path
from babeldraw.parallel.processes import is_first
from babeldraw.ranges import Count

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from babeldraw.cli.support.prompt_files import SuiteDrawer
    from babeldraw.evaluation.scores.base import Pictures
    from babeldraw.evaluation.suites.bounds import Training
    from babeldraw.evaluation.suites.drawing import Drawn
    from babeldraw.evaluation.suites.entries import Suite

_ELSEWHERE = ("suite", "step", "weights", "versions")
"""Parts of the record that have their own places in a report."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds those of suites and scores to groups of their own."""
    group: Any = parser.add_argument_group("suites, of runs that draw texts or classes")
    group.add_argument(
        "--suite",
        metavar="NAME|FILE",
        help="draw and score it: emoji, emoji-people, emoji-styles, coco-30k:FILE, coco-5k:FILE, "
        "narratives:FILE, parti:FILE, classes:N, or a .tsv or .jsonl file of your own",
    )
    group.add_argument(
        "--num_samples",
        type=Numeric(Count),
        default=1,
        metavar="N",
        help="pictures of each prompt; all are scored, or with --rerank the best one",
    )
    draw_options.add_arguments(group)
    group.add_argument(
        "--together", type=Numeric(Count), metavar="N", help=draw_options.TOGETHER_HELP
    )
    group.add_argument(
        "--rerank", metavar="DIR", help="score the sample that this CoCa run likes best"
    )
    group.add_argument(
        "--references",
        metavar="DIR",
        help="a folder of real pictures to compare with (default: those of the suite)",
    )
    group.add_argument(
        "--bounds",
        action="store_true",
        help="also score what no model has drawn: halves of the real pictures, training pictures "
        "retrieved by caption, and any training pictures",
    )
    scorers.add_arguments(parser.add_argument_group("scores of suites"))


def check(args: argparse.Namespace) -> None:
    """What can be said before anything is opened.

    Raises:
      UserError: options that do not go together.
    """
    tokenizers = {"--images": args.images, "--task": args.task, "--split": args.split}
    given = [name for name, value in tokenizers.items() if value]
    if given:
        raise UserError(f"{given[0]} is of tokenizers, and --suite of runs that draw; give one.")
    for run in (*args.coca, *filter(None, (args.captioner,))):
        outputs.check_run(run)
    if args.rerank:
        outputs.check_run(args.rerank)
        if args.num_samples == 1:
            raise UserError("--rerank chooses among samples; give --num_samples 2 or more.")
    args.seed = args.seed or 0


def evaluate(args: argparse.Namespace, mesh: "Mesh | None") -> None:
    """Draws a suite, scores it, and writes OUTPUT/report.html, report.json and pictures/.

    Raises:
      UserError: the run, the suite, a scorer or the folder is not what it should be.
    """
    from babeldraw.cli.support.exported import output_of
    from babeldraw.cli.support.prompt_files import open_drawer, say_plain
    from babeldraw.cli.support.ranking import open_ranker
    from babeldraw.evaluation.suites import page, report, scoring
    from babeldraw.evaluation.suites.bounds import bounds_of
    from babeldraw.evaluation.suites.folders import KIND
    from babeldraw.evaluation.suites.known import open_suite
    from babeldraw.sizes import in_words

    # 1. Everything is opened before anything is drawn.
    drawer = open_drawer(args, mesh)
    say_plain(drawer)
    if args.bounds:
        _ = drawer.run.train_dataset  # an exported model has none, which is said before it draws
    size, view = drawer.sampler.tokenizer.image_size, drawer.run.view
    suite = open_suite(args.suite, size, drawer.classes).first(args.limit)
    output = output_of(args.output, drawer.run, f"suites/{suite.name}")
    own = scoring.references_of(suite, size, view)
    references, of_what = _references(args, suite, own[0], size, drawer)
    scores = scorers.open_scores(args, suite, own, references, drawer)
    ranker, chooser = open_ranker(args.rerank, mesh, drawer)
    outputs.check_folder(output, "--output")

    # 2. The pictures, and which of them are scored.
    record = drawer.record(suite)
    drawn, drawing_seconds = drawer.draw(suite, output, record)
    began = time.perf_counter()
    kept = range(len(drawn.jobs)) if ranker is None else ranker(drawn)
    shown = scoring.drawn_pictures(drawn, kept)

    # 3. The scores.
    results = scoring.score_all(scores, shown, references)
    scoring_seconds = time.perf_counter() - began
    bounds = {}
    if args.bounds:
        training = _training(drawer)
        bounds = bounds_of(suite, scores, own, references, training)

    # 4. The report.
    framing = f"{in_words(size)}, {view.fit}: area where reduced, bicubic where enlarged"
    said_of_references = report.of_references(of_what, references, framing)
    if not is_first():
        return
    seconds = {"drawing": drawing_seconds, "scoring": scoring_seconds}
    found = {
        "kind": KIND,
        "suite": report.of_suite(suite),
        "model": {"run": drawer.run.model_dir, **{k: record[k] for k in ("step", "weights")}},
        "drawing": {
            **{
                k: v for k, v in record.items() if k not in ("suite", "step", "weights", "versions")
            },
            "rerank": args.rerank
            and {"run": args.rerank, "weights": chooser, "kept_of_each_prompt": 1},
            "prompts_cut": drawer.cut(suite),
            "pictures": len(drawn.jobs),
            "scored": len(kept),
        },
        "references": said_of_references,
        "versions": record["versions"],
        "warnings": scorers.warnings(chooser, scores),
        "scores": report.of_scores(scores, results),
        "by": report.by_kinds(results, shown),
        "bounds": {
            name: {
                "what": bound.what,
                "n": bound.n,
                "scores": report.of_scores(scores, bound.results),
            }
            for name, bound in bounds.items()
        },
        "made": _made(args, drawn, seconds, mesh),
    }
    prompts = report.lines_of(drawn, kept, shown, results)
    report.write(path(output), found, prompts)
    readers = {
        suite.entries[entry].id: functools.partial(own[0].__getitem__, place)
        for place, entry in enumerate(own[1])
        if own[0] is not None
    }
    page.write(path(output), found, prompts, _reader(output), readers)
    _print(found, output)


def _references(
    args: argparse.Namespace,
    suite: "Suite",
    own: "Pictures | None",
    size: Any,
    drawer: "SuiteDrawer",
) -> "tuple[Pictures | None, str]":
    """What drawn pictures are compared with as a set, and what that is."""
    from babeldraw.evaluation.suites.scoring import folder_references

    if not args.references:
        return own, f"the real pictures of {suite.name}"
    return folder_references(args.references, size, drawer.run.view), args.references


def _training(drawer: "SuiteDrawer") -> "Training":
    from babeldraw.evaluation.suites.bounds import TRAINING, Training

    dataset = dataclasses.replace(drawer.run.train_dataset, split="train")
    columns = dataset.examples(TRAINING)
    asked = columns["class_id"] if drawer.classes else columns.get("caption")
    if asked is None or "image" not in columns:
        raise UserError(
            f"{drawer.run.model_dir} was trained on what has no pictures or captions of its own to "
            "show; leave --bounds out."
        )
    return Training([str(each) for each in asked], columns["image"])


def _reader(folder: str) -> Any:
    from babeldraw.data.picture_files.images import decode_image

    def read(name: str) -> Any:
        with (path(folder) / name).open("rb") as file:
            return decode_image(file, name)

    return read


def _made(
    args: argparse.Namespace, drawn: "Drawn", seconds: dict[str, float], mesh: "Mesh | None"
) -> dict[str, Any]:
    """When, where and how fast: what may differ between equal reports."""
    import jax

    total = sum(seconds.values())
    return {
        "time": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "command": " ".join(sys.argv[1:]),
        "devices": f"{1 if mesh is None else mesh.size} x {jax.devices()[0].device_kind}",
        "processes": jax.process_count(),
        "batch_size": machines.pictures_at_once(args, mesh),
        "pictures_drawn_now": drawn.fresh,
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "pictures_a_second_drawn_and_scored": round(drawn.fresh / total, 3),
        "share_of_time_in_scoring": round(seconds["scoring"] / total, 3),
    }


def _print(report: dict[str, Any], output: str) -> None:
    from babeldraw.evaluation.suites.report import flat, shown_value

    for warning in report["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    values = flat(report["scores"])
    width = max(map(len, values), default=0)
    for name, value in values.items():
        print(f"  {name:{width}}  {shown_value(value)}  n = {value['n']:,}")
    print(f"report.html, report.json and the pictures are in {output}")
