"""Puts a recipe or a job of a run on a machine: `python -m launch.run --on local|tpu_vm|gke|slurm`.

    python -m launch.run --on tpu_vm --config=configs/v5e_16.py \\
        --gin_file=gin/runs/text_to_image.gin --gin_file=gin/models/350m.gin \\
        --model_dir=gs://BUCKET/350m --dry-run

`--do` takes one step alone; without it the job is created or attached to, installed, started and
watched. docs/launching.md explains the rest.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from babeldraw.cli import main as cli
from babeldraw.cli.support import gin_config
from babeldraw.errors import UserError
from launch import gke, local, slurm, tpu_vm
from launch.attempt import attempt
from launch.babysitter import MAX_RESTARTS, babysit, latest_checkpoint
from launch.commands import Command, execute_all, show
from launch.job import Job, make_job, repository_root

TARGETS = {"local": local, "tpu_vm": tpu_vm, "gke": gke, "slurm": slurm}
STEPS = ("create", "install", "start", "logs", "status", "stop", "delete")
RUN = STEPS[:4]
TRAINERS = ("babeldraw", "t5x")
JOBS = ("train", "sample", "evaluate", "tokenize-dataset")


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m launch.run",
        description="Put a recipe, or another job of a run, on a machine.",
        allow_abbrev=False,
    )
    parser.add_argument("--on", required=True, choices=TARGETS, help="where to")
    parser.add_argument("--do", choices=("run", *STEPS), default="run", help="default: run")
    parser.add_argument("--dry-run", action="store_true", help="print every command, run none")
    parser.add_argument("--config", default="configs/cpu.py", metavar="FILE", help="machine file")
    parser.add_argument("--job", choices=JOBS, default="train", help="default: train")
    parser.add_argument(
        "--trainer", choices=TRAINERS, default=TRAINERS[0], help="default: %(default)s; docs/t5x.md"
    )
    gin_config.add_arguments(parser, required=False)
    parser.add_argument("--model_dir", required=True, metavar="DIR", help="the run directory")
    parser.add_argument(
        "arguments", nargs="*", metavar="-- ARGUMENT", help="of other jobs than train"
    )
    parser.add_argument("--name", help="of what is created (default: the end of --model_dir)")
    parser.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="for every process"
    )
    parser.add_argument(
        "--max_restarts", type=int, default=MAX_RESTARTS, metavar="N", help="default: %(default)s"
    )
    for name, target in TARGETS.items():
        target.add_arguments(parser.add_argument_group(f"--on {name}", target.SUMMARY))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        args = make_parser().parse_args(cli.split_gin_bindings(arguments))
        return launch(make_job(args), args)
    except UserError as error:
        print(f"launch: error: {error}", file=sys.stderr)
        return cli.EXIT_USER_ERROR
    except KeyboardInterrupt:
        print("launch: interrupted; what was started goes on", file=sys.stderr)
        return cli.EXIT_INTERRUPTED


def launch(job: Job, args: argparse.Namespace) -> int:
    """Does, or shows, what is asked for; returns the exit code."""
    os.chdir(repository_root())
    if args.on == "local":
        return _locally(job, args)
    steps = TARGETS[args.on].steps(job, args)
    if args.dry_run:
        print(dry_run(steps, args, job), end="")
        return 0
    if args.do != "run":
        return execute_all(steps[args.do])
    if args.on != "tpu_vm":  # the engine starts the job again itself
        return execute_all([command for step in RUN for command in steps[step]])
    return babysit(
        lambda: attempt(steps, job.hosts),
        progress=lambda: latest_checkpoint(job.model_dir),
        max_restarts=args.max_restarts,
    )


def _locally(job: Job, args: argparse.Namespace) -> int:
    if args.dry_run:
        print(local.show(job, args), end="")
        return 0
    if args.do not in ("run", "start"):
        raise UserError("--on local has the steps run and start; Ctrl-C or SIGTERM ends it")
    return babysit(
        lambda: local.run(job, args),
        progress=lambda: latest_checkpoint(job.model_dir),
        max_restarts=args.max_restarts if args.do == "run" else 0,
    )


def dry_run(steps: dict[str, list[Command]], args: argparse.Namespace, job: Job) -> str:
    """What `--do` would run, and for `run` what could be done later."""
    wanted = STEPS if args.do == "run" else (args.do,)
    parts = []
    for step in wanted:
        when = "" if step in RUN or args.do != "run" else f" (later, by --do={step})"
        commands = "\n".join(map(show, steps[step])) or "true  # nothing to do"
        parts.append(f"# {step}{when}\n{commands}\n")
    notes = getattr(TARGETS[args.on], "notes", None)
    if notes is not None and args.do == "run":
        for note in notes(job, args):
            title, _, command = note.partition("\n")
            parts.append(f"# {title}\n{command}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
