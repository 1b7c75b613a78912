"""`babeldraw plan`: what a recipe needs on a TPU slice, found on any computer."""

import argparse
import sys
from typing import TYPE_CHECKING, Any, TextIO

from babeldraw.cli.support import gin_config, outputs
from babeldraw.cli.support.machines import load_machine_file
from babeldraw.cli.support.recipes import read_recipe
from babeldraw.errors import UserError

if TYPE_CHECKING:
    from babeldraw.objectives.base import Objective

SUMMARY = "Compile a recipe for a TPU slice, without one: memory, communication, FLOPs."

_UNNEEDED = ("MODEL_DIR", "TOKENIZER_CHECKPOINT")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `babeldraw plan` to `parser`."""
    gin_config.add_arguments(parser)
    parser.add_argument("--config", required=True, metavar="FILE", help="machine file")
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
        "--suggest",
        action="store_true",
        help="compile other machine settings too, and say which is best (minutes each)",
    )
    parser.add_argument(
        "--schedule", metavar="FILE.png", help="also draw the learning rate over the steps"
    )


def run(args: argparse.Namespace) -> int:
    """Prints the plan; returns 0 if it fits, 1 if not."""
    # What libtpu and JAX read at their start comes before all that imports JAX.
    if args.schedule:
        outputs.check_file(args.schedule, "--schedule")
    gin_config.find_files(args.gin_file, args.gin_search_paths)
    config = load_machine_file(args.config)
    from babeldraw.planning.environment import prepare_environment
    from babeldraw.quiet import hidden_stderr

    prepare_environment(config.get("xla_flags", ""))
    with hidden_stderr() as terminal:
        text, fits = _plan(args, config, terminal)
    sys.stdout.write(text)
    return 0 if fits else 1


def _plan(args: argparse.Namespace, config: Any, terminal: TextIO) -> tuple[str, bool]:
    """The report, and whether the recipe fits."""
    gin_config.parse_gin(args.gin_file, args.gin_bindings, args.gin_search_paths, _UNNEEDED)

    from babeldraw.planning import report, suggest
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

    plan = make_plan(objective, machine, batch_size, topology, progress=progress)
    trials = suggest.try_settings(objective, plan, progress) if args.suggest else None
    if args.json:
        return report.dump(report.to_json(plan, trials)), plan.fits
    text = report.text_report(plan)
    if trials is not None:
        text += "\n" + suggest.table(trials)
    elif not plan.fits:
        text += "\n" + suggest.advice(plan)
    return f"{text.rstrip()}\n\n{report.verdict(plan)}", plan.fits


def draw_schedule(objective: "Objective", path: str) -> None:
    """Plots the first player's learning rate."""
    import gin

    from babeldraw.optimizers import schedules

    steps = gin.query_parameter("loop.train.train_steps")
    if not isinstance(steps, int):
        steps = steps.scoped_configurable_fn()
    schedules.plot_schedule(objective.players()[0].learning_rate, steps, path)
