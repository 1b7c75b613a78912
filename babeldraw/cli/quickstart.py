"""`babeldraw quickstart`: the whole pipeline on two CPU cores, and a report of what it learned."""

import argparse
import dataclasses
import json
import time
from pathlib import Path

from babeldraw.cli.support import outputs
from babeldraw.cli.support.flags import Numeric
from babeldraw.cli.support.machines import load_machine_file, set_environment
from babeldraw.cli.support.recipes import train_recipe
from babeldraw.ranges import Seed

SUMMARY = "Train both stages on emoji in about five minutes and write report.html."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `babeldraw quickstart` to `parser`."""
    parser.add_argument(
        "--output", default="runs/quickstart", metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument("--config", default="configs/cpu.py", metavar="FILE", help="machine file")
    parser.add_argument("--seed", type=Numeric(Seed), default=0)
    parser.add_argument(
        "--gin.",
        dest="gin_bindings",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="overrides a setting of both stages, as --gin.TRAIN_STEPS=20",
    )


def run(args: argparse.Namespace) -> int:
    """Trains (or goes on where an earlier run stopped), evaluates, writes the report."""
    outputs.check_local(args.output, "--output")
    began = time.perf_counter()
    config = load_machine_file(args.config)
    set_environment(config)
    output = Path(args.output)
    directories = {"tokenizer": output / "tokenizer", "text_to_image": output / "text_to_image"}
    seconds = {}
    for stage, directory in directories.items():
        print(f"\n=== {stage} -> {directory}", flush=True)
        stage_began = time.perf_counter()
        bindings = [f"MODEL_DIR = {str(directory)!r}", f"SEED = {args.seed}", *args.gin_bindings]
        if stage == "text_to_image":
            bindings.append(f"TOKENIZER_CHECKPOINT = {str(directories['tokenizer'])!r}")
        train_recipe([f"gin/runs/quickstart_{stage}.gin"], bindings, config)
        seconds[stage] = time.perf_counter() - stage_began

    print("\n=== evaluation", flush=True)
    from babeldraw.cli.support.runs import open_run
    from babeldraw.evaluation import quickstart as evaluation

    evaluated = time.perf_counter()
    opened = open_run(str(directories["text_to_image"]))
    train, heldout = (
        dataclasses.replace(opened.train_dataset, split=split).examples()
        for split in ("train", "heldout_people")
    )
    sampler = opened.sampler(cutoff=evaluation.CUTOFF, batch_size=48)
    results = evaluation.evaluate(sampler, opened.codec(48), train, heldout, args.seed)
    seconds["evaluation"] = time.perf_counter() - evaluated
    seconds["total"] = time.perf_counter() - began

    report = evaluation.summary(results, seconds)
    (output / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    (output / "report.html").write_text(evaluation.page(report, results, directories))
    evaluation.write_samples(output / "samples.png", results)
    print(json.dumps(report, indent=2))
    print(f"\nLook at {output / 'report.html'} and {output / 'samples.png'}")
    return 0
