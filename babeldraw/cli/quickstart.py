"""`babeldraw quickstart`: from pictures to drawn pictures, and a report of what was learned."""

import argparse
import dataclasses
import json
import re
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from babeldraw.cli.support import choosing, outputs, pace, rungs, scoring, stage_recipes
from babeldraw.cli.support.choosing import IMAGE_TOKENS, TEXT_TO_IMAGE, Chosen
from babeldraw.cli.support.flags import Numeric
from babeldraw.cli.support.machines import load_machine_file, set_environment
from babeldraw.cli.support.recipes import train_recipe
from babeldraw.cli.support.scoring import Scored
from babeldraw.cli.support.stage_recipes import StageRecipe
from babeldraw.errors import UserError
from babeldraw.files import mark_output, path, written_whole
from babeldraw.ranges import Count, Positive, Seed

SUMMARY = "Train both stages on your pictures, or on emoji, in some minutes; write report.html."

REQUEST = "quickstart.json"
"""In the output: what was asked for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `babeldraw quickstart` to `parser`."""
    parser.add_argument(
        "--data",
        metavar="TASK",
        help="your pictures, as folder:/my/pictures, or any other task (default: emoji people)",
    )
    parser.add_argument(
        "--classes",
        nargs="?",
        const="",
        metavar="FEATURE",
        help="learn classes in the place of texts: the emoji people's roles, or those that --data "
        "has, as class_folder:/my/pictures; FEATURE where it has several",
    )
    parser.add_argument(
        "--minutes",
        type=Numeric(Positive),
        help=f"in all (default: {choosing.MINUTES:.0f}; the emoji have a fixed number of steps)",
    )
    parser.add_argument(
        "--size", type=Numeric(Count), help="side in pixels (default: by machine and pictures)"
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        help="default: runs/quickstart, with --classes runs/quickstart-classes, and of your own "
        "pictures runs/quickstart-NAME",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="machine file (default: configs/cpu.py or, where JAX sees one, configs/gpu_24gb.py)",
    )
    parser.add_argument(
        "--seed", type=Numeric(Seed), default=0, metavar="N", help="of both stages and the samples"
    )
    parser.add_argument(
        "--gin.",
        dest="gin_bindings",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="overrides a setting of the stages that have it, as --gin.TRAIN_STEPS=20",
    )


def run(args: argparse.Namespace) -> int:
    """Trains (or goes on where an earlier run stopped), evaluates, writes the report."""
    named = args.output or _default_output(args.data, args.classes is not None)
    outputs.check_apart(named, "--output", args.data or "")
    outputs.check_local(named, "--output")
    output = Path(named)
    _check_request(args, output / REQUEST)
    began = time.perf_counter()
    config, accelerated = _machine(args.config)
    chosen = choosing.choose(args, output, accelerated)
    _keep_request(args, output / REQUEST)
    for sentence in chosen.sentences:
        print(sentence, flush=True)

    seconds, left = {}, list(chosen.seconds)
    for recipe in chosen.recipes:
        print(f"\n=== {recipe.stage} -> {recipe.directory}", flush=True)
        stage_began = time.perf_counter()
        if not recipe.file.exists():
            left = _fix(args, recipe, left, config)
        else:
            left = left[1:]
        train_recipe([str(recipe.file)], recipe.overrides, config)
        seconds[recipe.stage] = time.perf_counter() - stage_began

    print("\n=== evaluation", flush=True)
    evaluated = time.perf_counter()
    score = scoring.texts if args.classes is None else scoring.classes
    scored = score(chosen.recipes, args.seed)
    seconds["evaluation"] = time.perf_counter() - evaluated
    seconds["total"] = time.perf_counter() - began
    _report(args, output, chosen, scored, seconds)
    return 0


def _default_output(data: str | None, classes: bool) -> str:
    if data is None:
        return "runs/quickstart-classes" if classes else "runs/quickstart"
    name = re.sub(r"[^\w-]+", "-", data.rstrip("/").rpartition("/")[2]).strip("-")
    return f"runs/quickstart-{name or 'pictures'}"


def _request(args: argparse.Namespace) -> dict[str, Any]:
    """What a folder is of."""
    names = ("data", "minutes", "size", "seed", "classes")
    return {name: getattr(args, name) for name in names}


def _check_request(args: argparse.Namespace, file: Path) -> None:
    """Whether the folder of the file is of the same command, or of none yet.

    Raises:
      UserError: it is of another one.
    """
    if not file.exists():
        return
    try:
        before = json.loads(file.read_bytes())
    except ValueError as error:
        raise UserError(f"{file} is damaged ({error}): give another --output.") from error
    differing = [name for name, value in _request(args).items() if value != before.get(name)]
    if differing:
        said = ", ".join(
            f"--{name} {before[name]}".strip() if before.get(name) is not None else f"no --{name}"
            for name in differing
        )
        raise UserError(
            f"{file.parent} was begun with {said}: give the same, or another --output to begin "
            "anew."
        )


def _keep_request(args: argparse.Namespace, file: Path) -> None:
    mark_output(path(file.parent), ours=True)
    with written_whole(file) as written:
        written.write(json.dumps(_request(args)).encode())


def _machine(name: str | None) -> tuple[Any, bool]:
    """What the machine file says, and whether there is a GPU or TPU."""
    if name is not None:
        config = load_machine_file(name)
        set_environment(config)
    import jax

    accelerated = jax.default_backend() != "cpu"
    if name is None:  # neither of these has flags that JAX would have to be started with
        config = load_machine_file("configs/gpu_24gb.py" if accelerated else "configs/cpu.py")
    return config, accelerated


def _fix(
    args: argparse.Namespace, recipe: StageRecipe, left: Sequence[float], config: Any
) -> list[float]:
    """Writes the recipe, with so many steps as fit into its time where none are given.

    Args:
      left: seconds for this stage and for those after it; empty where recipes say their steps.

    Returns:
      Seconds for those after it.
    """
    notes, after = [], list(left[1:])
    given = [o for o in recipe.overrides if o.partition("=")[0].strip() == "TRAIN_STEPS"]
    settings = dict(recipe.settings)
    if left:
        if given:
            steps = int(float(given[-1].partition("=")[2]))  # gin takes 1e3, too
        else:
            print(f"a trial of {pace.TRIAL_STEPS} steps, which is thrown away:", flush=True)
            measured = pace.measure(recipe, config)
            seconds, after = rungs.share_time(left, measured.needed(rungs.TOKENIZER_STEPS))
            steps = measured.steps_in(seconds)
            notes.append(measured.sentence(steps, seconds))
            print(notes[-1], flush=True)
        settings |= {
            "TRAIN_STEPS": steps,
            "WARMUP_STEPS": min(stage_recipes.value(recipe.base, "WARMUP_STEPS"), steps // 10),
            "EVAL_EVERY": max(1, -(-steps // pace.LOOKS)),
        }
    recipe = dataclasses.replace(recipe, settings=settings)
    recipe.write(recipe.file, _command(args), notes)
    return after


def _command(args: argparse.Namespace) -> str:
    words = ["babeldraw", "quickstart"]
    if args.classes is not None:
        words.append(f"--classes={args.classes}".removesuffix("="))
    for name in ("data", "minutes", "size", "output", "config", "seed"):
        value = getattr(args, name)
        if value is not None and (name, value) != ("seed", 0):
            words += [f"--{name}", f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join([*words, *(f"--gin.{binding}" for binding in args.gin_bindings)])


def _report(
    args: argparse.Namespace,
    output: Path,
    chosen: Chosen,
    scored: Scored,
    seconds: dict[str, float],
) -> None:
    from babeldraw.evaluation.reporting import document

    report = scored.summary(seconds)
    directories = [recipe.directory for recipe in chosen.recipes]
    (output / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    title = f"Babeldraw quickstart{f': {args.data}' if args.data else ''}"
    notes = [f"{recipe.stage}: {note}" for recipe in chosen.recipes for note in recipe.notes()]
    said = [*chosen.sentences, *notes]
    page = scored.page(title, report, model_dirs=directories, chosen=said)
    document.write(output / "report.html", page)
    print(json.dumps(report, indent=2))
    shown = [output / "report.html"]
    if scored.write_samples is not None:
        shown.append(output / "samples.png")
        scored.write_samples(shown[-1])
    print(f"\nLook at {' and '.join(map(str, shown))}")
    print("\n".join(_next_commands(args, chosen)))


def _next_commands(args: argparse.Namespace, chosen: Chosen) -> list[str]:
    """What to type to draw, and to train on."""
    last = chosen.recipes[-1]
    lines = []
    asked = {TEXT_TO_IMAGE: '"YOUR TEXT"', IMAGE_TOKENS: "--class NAME"}.get(last.stage)
    if asked:
        lines.append(f"Draw: babeldraw sample {asked} --checkpoint={last.directory} --cutoff=0.1")
    steps = stage_recipes.value(str(last.file), "TRAIN_STEPS")
    variable = f"BABELDRAW_VOCABULARY={shlex.quote(str(chosen.vocabulary))} "
    config = f" --config={shlex.quote(args.config)}" if args.config else ""
    lines.append(
        f"Train on, to twice the steps: {variable if chosen.vocabulary else ''}babeldraw train "
        f"--gin_file={shlex.quote(str(last.file))} --gin.TRAIN_STEPS={2 * steps}{config}"
    )
    return lines
