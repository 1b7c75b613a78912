"""Slurm: a batch script for `sbatch`, one task a node."""

import argparse
import shlex

from launch.commands import Command
from launch.job import PATIENCE, Job

SUMMARY = "a Slurm cluster, through sbatch"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What clusters want to know."""
    parser.add_argument("--partition", help="Slurm partition (default: the cluster's)")
    parser.add_argument("--account", help="Slurm account (default: the cluster's)")
    parser.add_argument("--time", metavar="D-HH:MM:SS", help="time limit (default: the cluster's)")
    parser.add_argument("--gpus_per_node", type=int, metavar="N", help="GPUs to ask for")


def steps(job: Job, args: argparse.Namespace) -> dict[str, list[Command]]:
    """The commands of each thing that can be done with the job, on a login node."""
    by_name = ("--me", f"--name={job.name}")
    return {
        "create": [],  # the cluster is there
        "install": [],  # in the batch script, where there may be nodes without a shared disk
        "start": [
            Command(("mkdir", "-p", "runs/slurm")),
            Command(("sbatch", "--parsable"), stdin=script(job, args)),
        ],
        "logs": [Command(("tail", "--retry", "--follow=name", "--lines=+1", f"{_log(job)}-0.log"))],
        "status": [Command(("squeue", *by_name))],
        "stop": [Command(("scancel", "--batch", "--signal=TERM", *by_name))],
        "delete": [Command(("scancel", *by_name))],
    }


def _log(job: Job) -> str:
    return f"runs/slurm/{job.name}"


def script(job: Job, args: argparse.Namespace) -> str:
    """The batch script. The babysitter inside it starts all tasks again where one has died."""
    asked = {
        "partition": args.partition,
        "account": args.account,
        "time": args.time,
        "gpus-per-node": args.gpus_per_node,
    }
    head = [
        f"--job-name={job.name}",
        f"--nodes={job.hosts}",
        "--ntasks-per-node=1",
        "--exclusive",
        "--requeue",
        "--open-mode=append",
        f"--output={_log(job)}.log",
        # Five minutes before the time limit the babysitter has the tasks save and leave.
        "--signal=B:TERM@300",
        *(f"--{name}={shlex.quote(str(value))}" for name, value in asked.items() if value),
    ]
    environment = PATIENCE | job.environment
    exports = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    command = [
        *("srun", "--kill-on-bad-exit=1", "--open-mode=append", f"--output={_log(job)}-%t.log"),
        *("bash", "launch/worker.sh", "run", *job.arguments),
    ]
    babysitter = [
        *(".venv/bin/python", "-m", "launch.babysitter", f"--max_restarts={args.max_restarts}"),
        *("--model_dir", job.model_dir, "--", *command),
    ]
    lines = [
        "#!/bin/bash",
        *(f"#SBATCH {option}" for option in head),
        "set -euo pipefail",
        'cd "$SLURM_SUBMIT_DIR"',
        *exports,
        # One task a node; on a shared disk the first one installs and the others find it done.
        shlex.join(["srun", "bash", "launch/worker.sh", "install", job.extra]),
        "exec " + shlex.join(babysitter),
    ]
    return "\n".join(lines) + "\n"
