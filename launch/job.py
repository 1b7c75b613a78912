"""What is to be run: a recipe, a machine, and a run directory."""

import argparse
import dataclasses
import hashlib
import re
from pathlib import Path
from typing import Any

from babeldraw.cli import main as cli
from babeldraw.cli.support import machines, paths
from babeldraw.errors import UserError
from babeldraw.planning.chips import split_name
from babeldraw.t5x_models import found

PATIENCE = {"BABELDRAW_JOIN_SECONDS": "300"}
"""For the processes of a cluster: hundreds of them do not all start within the default 50 s."""

PACKED = "build/t5x"
"""Where launch/pack.sh puts T5X's clones, in the checkout that is sent."""

_LONGEST = 40  # Kubernetes puts "-workers-0-255-xxxxx" behind it, in a name of at most 63


@dataclasses.dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
      name: of whatever is created for it, a DNS label.
      arguments: of `babeldraw`, the subcommand first.
      model_dir: the run directory.
      hosts: one process each; of all slices.
      accelerator: what the cloud calls a slice, "" where there is none.
      family: of the TPU, such as "v5e"; "" for another machine.
      topology: such as "4x4"; "" for another machine.
      environment: name -> value, for every process.
      t5x: the folder of T5X's clones on this machine; "" where it does not train.
      slices: of TPU chips, each of that accelerator and topology.
    """

    name: str
    arguments: tuple[str, ...]
    model_dir: str
    hosts: int
    accelerator: str
    family: str
    topology: str
    environment: dict[str, str]
    t5x: str = ""
    slices: int = 1

    @property
    def extra(self) -> str:
        """Which of setup.py's extras the workers need, with commas between; "" for none."""
        names = ["t5x"] if self.t5x else []
        if self.family:
            names.append("tpu")
        elif self.accelerator.startswith("nvidia"):
            names.append("cuda")
        return ",".join(names)

    def pack(self, archive: str) -> tuple[str, ...]:
        """The command line that packs what is sent to the workers."""
        return ("bash", "launch/pack.sh", archive, *([self.t5x] if self.t5x else []))


def make_job(args: argparse.Namespace) -> Job:
    """The job that the command line describes.

    Raises:
      UserError: a file is missing or would not reach the workers, or a value cannot be used.
    """
    root = repository_root()
    config: Any = machines.load_machine_file(args.config)
    launch = config.get("launch", {})
    _check_job(args)
    arguments = ["t5x", "train"] if args.trainer == "t5x" else [args.job]
    for option, names in (("gin_file", args.gin_file), ("config", [args.config])):
        for name in names:
            path = paths.find_file(name, paths.search_folders(), option)
            arguments.append(f"--{option}={_in_checkout(path, root)}")
    if args.gin_search_paths:
        arguments.append(f"--gin_search_paths={args.gin_search_paths}")
    arguments += [f"--gin.{binding}" for binding in args.gin_bindings]
    run = "model_dir" if args.job == "train" else "checkpoint"
    arguments.append(f"--{run}={args.model_dir}")
    if args.job == "sample" and not any(word.startswith("--output") for word in args.arguments):
        arguments.append(f"--output={args.model_dir.rstrip('/')}/samples")
    arguments += args.arguments
    cli.parse(arguments)  # Here, and not by every worker of a slice that has been created for it.
    environment = {}
    for pair in args.env:
        name, equals, value = pair.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise UserError(f"--env={pair} is not of the form NAME=VALUE")
        environment[name] = value
    clones = ""
    if args.trainer == "t5x":
        clones = str(found.clones(environment.get(found.VARIABLE)))
        sent = args.on in ("tpu_vm", "gke")
        environment[found.VARIABLE] = PACKED if sent else clones
    slices, family, topology = split_name(str(config.get("topology", "")))
    hosts = launch.get("hosts", 1)
    if hosts % slices:
        raise UserError(
            f"{args.config} has {hosts} hosts for {slices} slices: set launch.hosts to those of all"
        )
    return Job(
        name=resource_name(args.name or re.split("[/:]", args.model_dir.rstrip("/"))[-1]),
        arguments=tuple(arguments),
        model_dir=args.model_dir,
        hosts=hosts,
        slices=slices,
        accelerator=launch.get("accelerator", ""),
        family=family,
        topology=topology,
        environment=environment,
        t5x=clones,
    )


def _check_job(args: argparse.Namespace) -> None:
    if args.trainer == "t5x" and args.job != "train":
        raise UserError(f"--trainer t5x trains, and --job is {args.job}: leave one of them out")
    if args.job == "train":
        if not args.gin_file:
            raise UserError("a training needs its recipe: give --gin_file")
        if args.arguments:
            raise UserError(f"{args.arguments[0]!r} is no argument of a training: leave it out")
    elif args.gin_file or args.gin_bindings or args.gin_search_paths:
        raise UserError(
            f"--job {args.job} has the recipe of the run in --model_dir: leave the gin files and "
            "settings out"
        )


def repository_root() -> Path:
    """The checkout, which is what the launchers send to the workers.

    Raises:
      UserError: the package is installed without one.
    """
    root = paths.repository_root()
    if root is None:
        raise UserError("launching needs Babeldraw's repository, which is sent to the workers")
    return root


def _in_checkout(path: Path, root: Path) -> str:
    try:
        return str(path.resolve().relative_to(root))
    except ValueError:
        raise UserError(
            f"{path} is outside of {root}, and only what is inside is sent to the workers; copy it "
            "to gin/ or configs/"
        ) from None


def resource_name(name: str) -> str:
    """A DNS label for any name. Names that differ get labels that differ, by 24 bits of a hash."""
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not label[:1].isalpha():
        label = f"run-{label}".strip("-")
    if label == name and len(label) <= _LONGEST:
        return label
    digest = hashlib.sha256(name.encode()).hexdigest()[:6]
    return f"{label[: _LONGEST - 7].rstrip('-')}-{digest}"


def require_shared_model_dir(job: Job) -> None:
    """Refuses directories, that of the run or one to write, that are others on each host.

    Raises:
      UserError: one is local and there are several hosts.
    """
    named = [word for word in job.arguments if word.startswith("--output=")]
    for word in (f"--model_dir={job.model_dir}", *named):
        if job.hosts > 1 and "://" not in word:
            raise UserError(
                f"{word} would be another directory on each of {job.hosts} hosts: give one that "
                "all of them reach, such as gs://BUCKET/RUN"
            )
