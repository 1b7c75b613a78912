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

    # What the slices of a queued resource are called: each is a TPU of its own.
    nodes = [f"{job.name}-{index}" for index in range(job.slices)]
    if job.slices == 1:
        nodes = [job.name]
        called: tuple[str, ...] = (f"--node-id={job.name}",)
    else:
        called = (f"--node-count={job.slices}", f"--node-prefix={job.name}")

    def ssh(node: str, line: str, worker: str = "all") -> Command:
        words = (*machine, "ssh", node, *where, f"--worker={worker}", f"--command={line}")
        return Command(words)

    def on_all(*words: str) -> list[Command]:
        return [ssh(node, _worker(*words)) for node in nodes]

    unpack = "mkdir -p babeldraw && tar -xzf babeldraw.tar.gz -C babeldraw"
    send = [
        Command((*machine, "scp", ARCHIVE, f"{node}:", *where, "--worker=all")) for node in nodes
    ]
    settings = (f"{name}={value}" for name, value in (PATIENCE | job.environment).items())
    return {
        "create": [
            # What was taken back is made anew.
            Command(delete, when=(state, ("SUSPENDED", "FAILED"))),
            Command(
                (
                    *(*queued, "create", job.name, *called, *where),
                    f"--accelerator-type={job.accelerator}",
                    *(f"--runtime-version={names.runtime_version}", *payment),
                ),
                unless=(*queued, "describe", job.name, *where),
            ),
            Command(state, until="ACTIVE", never=("FAILED", "SUSPENDING", "SUSPENDED")),
        ],
        "install": [
            Command(job.pack(ARCHIVE)),
            *send,
            *(ssh(node, unpack) for node in nodes),
            *on_all("install", job.extra),
        ],
        "start": on_all("start", *settings, "--", *job.arguments),
        "logs": [ssh(nodes[0], _worker("wait"), worker="0")],
        "status": [Command(state), *on_all("status")],
        "stop": on_all("stop"),
        "delete": [Command(delete)],
    }


def _worker(*words: str) -> str:
    """What a worker is told to do, as a line of its shell."""
    return shlex.join(("bash", "babeldraw/launch/worker.sh", *words))
