"""`babeldraw plan`: what a recipe needs on a TPU slice, found on any computer."""

import argparse
import datetime
import shlex
import sys
from importlib import metadata
from typing import TYPE_CHECKING, Any, TextIO

from babeldraw import files
from babeldraw.cli.support import gin_config, outputs
from babeldraw.cli.support.flags import Numeric
from babeldraw.cli.support.machines import load_machine_file
from babeldraw.cli.support.recipes import read_recipe
from babeldraw.errors import UserError
from babeldraw.ranges import Weight

if TYPE_CHECKING:
    from babeldraw.objectives.base import Objective
    from babeldraw.planning.find_layout import Answer
    from babeldraw.planning.trials import TrialFile
    from babeldraw.training.machine import Machine

SUMMARY = "Compile a recipe for a TPU slice, without one: memory, communication, FLOPs."

_UNNEEDED = ("MODEL_DIR", "TOKENIZER_CHECKPOINT")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `babeldraw plan` to `parser`."""
    gin_config.add_arguments(parser)
    parser.add_argument(
        "--config", metavar="FILE", help="machine file; --search does without, given a --topology"
    )
    parser.add_argument(
        "--topology",
        metavar="NAME",
        help="a TPU slice such as v4:8x8x16 or v5e:16x16 (default: the machine file's)",
    )
    parser.add_argument("--json", action="store_true", help="print every figure as JSON")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="let the compiler optimise least: several times faster, memory to about 10%%",
    )
    parser.add_argument(
        "--int8", action="store_true", help="plan the drawing with weights of one byte"
    )
    parser.add_argument(
        "--search",
        action="store_true",
        help="compile the layouts of the recipe on the slice, and say which is fastest",
    )
    parser.add_argument(
        "--minutes",
        type=Numeric(Weight),
        default=30.0,
        metavar="N",
        help="for --search; a search that goes on knows what was compiled (default: %(default)g)",
    )
    parser.add_argument(
        "--write", metavar="FILE.py", help="write what --search found as a machine file"
    )
    parser.add_argument(
        "--schedule", metavar="FILE.png", help="also draw the learning rate over the steps"
    )


def run(args: argparse.Namespace) -> int:
    """Prints the plan; returns 0 if it fits, 1 if not."""
    # What libtpu and JAX read at their start comes before all that imports JAX.
    if args.schedule:
        outputs.check_file(args.schedule, "--schedule")
    if args.write and not args.search:
        raise UserError("--write keeps what --search finds; add --search, or leave --write out")
    if args.int8 and args.search:
        raise UserError(
            "--search compares layouts for training; leave --int8 out, and plan what it finds"
        )
    if args.write:
        outputs.check_file(args.write, "--write")
    if not args.config and not (args.search and args.topology):
        raise UserError("a plan is of a machine; add --config, such as --config=configs/v4_512.py")
    gin_config.find_files(args.gin_file, args.gin_search_paths)
    config = load_machine_file(args.config) if args.config else {"topology": args.topology}
    from babeldraw.planning.environment import prepare_environment
    from babeldraw.quiet import hidden_stderr

    prepare_environment(config.get("xla_flags", ""))
    from babeldraw.planning.kept import check_folder

    check_folder()
    with hidden_stderr() as terminal:
        text, fits = _plan(args, config, terminal)
    sys.stdout.write(text)
    return 0 if fits else 1


def _plan(args: argparse.Namespace, config: Any, terminal: TextIO) -> tuple[str, bool]:
    """The report, and whether the recipe fits."""
    recipe = gin_config.parse_gin(
        args.gin_file, args.gin_bindings, args.gin_search_paths, _UNNEEDED
    )

    from babeldraw.planning import report
    from babeldraw.planning.find_layout import find_layout
    from babeldraw.planning.plan import make_plan
    from babeldraw.planning.programs import optimise_least
    from babeldraw.planning.topologies import find_topology
    from babeldraw.training.machine import Machine

    def progress(words: str) -> None:
        print(words, end="", file=terminal, flush=True)

    if args.quick:
        optimise_least()
    machine = Machine.from_config(config)
    name = args.topology or machine.topology
    if not name:
        raise UserError(
            f"{args.config} names no TPU slice to compile for; add --topology, such as v5e:16x16"
        )
    topology = find_topology(name)
    objective, batch_size = read_recipe(args.gin_file)
    if args.schedule:
        draw_schedule(objective, args.schedule)

    if args.search:
        file = _trial_file(recipe, machine, batch_size, name)
        answer = find_layout(
            objective,
            machine,
            batch_size,
            topology,
            file,
            minutes=args.minutes,
            confirm_fully=not args.quick,
            progress=progress,
        )
        return _tell(answer, args)
    plan = make_plan(objective, machine, batch_size, topology, int8=args.int8, progress=progress)
    if args.json:
        return report.dump(report.to_json(plan)), plan.fits
    text = report.text_report(plan)
    if not plan.fits:
        text += "\n" + report.advice(plan)
    return f"{text.rstrip()}\n\n{report.verdict(plan)}", plan.fits


def _trial_file(recipe: str, machine: "Machine", batch_size: int, topology: str) -> "TrialFile":
    """Where the trials of a search are kept: by all that their figures depend on."""
    from babeldraw.planning.trials import TrialFile

    question = {
        "topology": topology,
        "batch_size": batch_size,
        "accumulate": machine.accumulate,
        "xla_flags": machine.xla_flags,
        "versions": {name: _version(name) for name in ("babeldraw", "jax", "libtpu")},
        "recipe": recipe,
    }
    return TrialFile(question)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # what needs it says so
        return ""


def _tell(answer: "Answer", args: argparse.Namespace) -> tuple[str, bool]:
    """What a search found, for the terminal; writes the machine file."""
    from babeldraw.planning import report
    from babeldraw.planning.machine_file import machine_file
    from babeldraw.planning.search import table

    trials = answer.found.trials
    text = table(answer.found) if trials else ""
    if answer.plan is None or answer.layout is None:
        return text + answer.advice, False
    if args.write:
        path = files.path(args.write)
        today = datetime.date.today().isoformat()
        path.write_text(machine_file(path.stem, answer.plan, answer.layout, _command(args), today))
    if args.json:
        return report.dump(report.to_json(answer.plan, trials)), answer.plan.fits
    text = f"{report.text_report(answer.plan).rstrip()}\n\n{text}\n"
    if args.write:
        text += f"written: {args.write}\n"
    return text + report.verdict(answer.plan), answer.plan.fits


def _command(args: argparse.Namespace) -> str:
    """The search as one types it."""
    words = ["babeldraw", "plan", "--search"]
    words += [f"--gin_file={name}" for name in args.gin_file]
    words += [f"--gin.{binding}" for binding in args.gin_bindings]
    for name in ("gin_search_paths", "config", "topology", "write"):
        if getattr(args, name):
            words.append(f"--{name}={getattr(args, name)}")
    return shlex.join([*words, f"--minutes={args.minutes:g}"])


def draw_schedule(objective: "Objective", path: str) -> None:
    """Plots the first player's learning rate."""
    import gin

    from babeldraw.optimizers import schedules

    steps = gin.query_parameter("loop.train.train_steps")
    if not isinstance(steps, int):
        steps = steps.scoped_configurable_fn()
    schedules.plot_schedule(objective.players()[0].learning_rate, steps, path)
