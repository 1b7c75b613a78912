"""Cloud TPU VMs: a queued resource through `gcloud`, one process a VM."""

import argparse
import shlex

from babeldraw.errors import UserError
from launch import tpus
from launch.commands import Command
from launch.job import PATIENCE, Job, require_shared_model_dir

SUMMARY = "Cloud TPU VMs, as a queued resource"
ARCHIVE = "build/babeldraw.tar.gz"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where, and how it is paid for."""
    parser.add_argument("--project", help="Google Cloud project (default: gcloud's)")
    parser.add_argument("--zone", help="Google Cloud zone (default: gcloud's)")
    parser.add_argument("--spot", action="store_true", help="cheaper, and may be taken back")
    parser.add_argument("--reservation", metavar="NAME", help="a reservation of yours")


def place(args: argparse.Namespace) -> tuple[str, ...]:
    """The flags that say where; gcloud knows its defaults itself."""
    flags = (("--project", args.project), ("--zone", args.zone))
    return tuple(f"{flag}={value}" for flag, value in flags if value)


def steps(job: Job, args: argparse.Namespace) -> dict[str, list[Command]]:
    """The commands of each thing that can be done with the job.

    Raises:
      UserError: the machine file describes no TPU, or one that is no TPU VM, or the run directory
        is local.
    """
    names = tpus.names_of(job)
    if not names.runtime_version:
        raise UserError(f"{job.family} is offered through Kubernetes alone: launch with --on gke")
    require_shared_model_dir(job)
    where = place(args)
    queued = ("gcloud", "compute", "tpus", "queued-resources")
    machine = ("gcloud", "compute", "tpus", "tpu-vm")
    payment: tuple[str, ...] = ("--spot",) if args.spot else ()
    if args.reservation:
        payment = ("--reserved", f"--reservation={args.reservation}")
    delete = (*queued, "delete", job.name, *where, "--force", "--quiet")
    state = (*queued, "describe", job.name, *where, "--format=value(state.state)")

    def on(worker: str, *words: str) -> Command:
        line = shlex.join(("bash", "babeldraw/launch/worker.sh", *words))
        ssh = (*machine, "ssh", job.name, *where, f"--worker={worker}")
        return Command((*ssh, f"--command={line}"))

    unpack = "mkdir -p babeldraw && tar -xzf babeldraw.tar.gz -C babeldraw"
    settings = (f"{name}={value}" for name, value in (PATIENCE | job.environment).items())
    return {
        "create": [
            # What was taken back is made anew.
            Command(delete, when=(state, ("SUSPENDED", "FAILED"))),
            Command(
                (
                    *(*queued, "create", job.name, f"--node-id={job.name}", *where),
                    f"--accelerator-type={job.accelerator}",
                    *(f"--runtime-version={names.runtime_version}", *payment),
                ),
                unless=(*queued, "describe", job.name, *where),
            ),
            Command(state, until="ACTIVE", never=("FAILED", "SUSPENDING", "SUSPENDED")),
        ],
        "install": [
            Command(job.pack(ARCHIVE)),
            Command((*machine, "scp", ARCHIVE, f"{job.name}:", *where, "--worker=all")),
            Command((*machine, "ssh", job.name, *where, "--worker=all", f"--command={unpack}")),
            on("all", "install", job.extra),
        ],
        "start": [on("all", "start", *settings, "--", *job.arguments)],
        "logs": [on("0", "wait")],
        "status": [Command(state), on("all", "status")],
        "stop": [on("all", "stop")],
        "delete": [Command(delete)],
    }
