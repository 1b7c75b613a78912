"""`babeldraw train`: a recipe (gin files) on a machine (configs/*.py)."""

import argparse
import os
import re
import runpy
from collections.abc import Sequence
from typing import Any

from babeldraw.cli import gin_config, paths
from babeldraw.errors import UserError

SUMMARY = "Train what a gin recipe says, on the machine that a machine file describes."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `babeldraw train` to `parser`."""
    gin_config.add_arguments(parser)
    parser.add_argument(
        "--config",
        default="configs/cpu.py",
        metavar="FILE",
        help="machine file (default: %(default)s)",
    )
    cluster = parser.add_argument_group(
        "several processes", "on TPUs, Kubernetes and Slurm they find each other without these"
    )
    cluster.add_argument("--coordinator_address", metavar="HOST:PORT", help="of process 0")
    cluster.add_argument("--num_processes", type=int, metavar="N", help="how many there are")
    cluster.add_argument("--process_id", type=int, metavar="I", help="of this one, from 0")
    parser.add_argument(
        "--model_dir", metavar="DIR", help="the run directory; short for --gin.MODEL_DIR='\"DIR\"'"
    )


def run(args: argparse.Namespace) -> int:
    """Trains until the recipe's last step; returns 0."""
    # 1. The machine, first: XLA and JAX read their environment when they are imported.
    config = load_machine_file(args.config)
    set_environment(config)
    # 2. The other processes, before anything touches a device.
    join_processes(
        config,
        coordinator_address=args.coordinator_address,
        num_processes=args.num_processes,
        process_id=args.process_id,
    )
    # 3. The recipe on the machine.
    bindings = list(args.gin_bindings)
    if args.model_dir is not None:
        bindings.append(f"MODEL_DIR = {args.model_dir!r}")
    from babeldraw.parallel import failing

    with failing.together():
        train_recipe(args.gin_file, bindings, config, args.gin_search_paths)
    return 0


def train_recipe(
    gin_files: Sequence[str], bindings: Sequence[str], config: Any, search_paths: str = ""
) -> None:
    """Calls `loop.train` as the gin files and `NAME = VALUE` bindings say, on a machine.

    Args:
      config: what `load_machine_file` gave; `set_environment` has been called with it.

    Raises:
      UserError: the recipe is wrong or incomplete, or does not fit the machine.
    """
    # Imports of the recipe load JAX, Flax and the data pipeline.
    config_text = gin_config.parse_gin(gin_files, bindings, search_paths)
    import gin

    from babeldraw.planning.flops import model_flops
    from babeldraw.training.loop import train
    from babeldraw.training.machine import Machine

    try:
        configured_train = gin.get_configurable(train)
    except ValueError:  # gin has not registered it
        raise UserError(
            f"{', '.join(gin_files)} sets nothing of loop.train, so there is nothing to train; "
            "add a run, such as --gin_file=gin/runs/text_to_image.gin"
        ) from None
    try:
        configured_train(
            machine=Machine.from_config(config), config_text=config_text, model_flops=model_flops
        )
    except (TypeError, ValueError) as error:
        sentence = _refused_settings(str(error))
        if sentence is None:
            raise
        raise UserError(sentence) from error


def load_machine_file(name: str) -> Any:
    """What `get_config()` of the machine file `name` returns, an `ml_collections.ConfigDict`.

    Raises:
      UserError: there is no such file, or it has no `get_config`.
    """
    path = paths.find_file(name, paths.search_folders(), "machine file")
    try:
        names = runpy.run_path(str(path))
    except SyntaxError as error:
        raise UserError(f"{path}:{error.lineno}: {error.msg} in this machine file") from error
    if "get_config" not in names:
        raise UserError(f"the machine file {path} has no get_config(); see configs/cpu.py")
    return names["get_config"]()


def set_environment(config: Any) -> None:
    """Puts the machine's XLA flags before those of the environment, so that the latter win.

    Flags of the TPU compiler go to LIBTPU_INIT_ARGS: the rest of XLA refuses to start with them.
    """
    name = "LIBTPU_INIT_ARGS" if config.get("topology") else "XLA_FLAGS"
    flags = f"{config.get('xla_flags', '')} {os.environ.get(name, '')}".strip()
    if flags:
        os.environ[name] = flags


def join_processes(config: Any, **flags: Any) -> None:
    """Connects to the run's other processes if the machine or the environment asks for it.

    Args:
      config: the machine file's.
      flags: `coordinator_address`, `num_processes` and `process_id` of the command line, or None.

    Raises:
      UserError: there are not as many processes as the machine file says, or they do not meet.
    """
    from babeldraw.parallel import failing, processes

    hosts = config.get("launch", {}).get("hosts", 1)
    metadata = processes.cloud_metadata if hosts > 1 else None
    cluster = processes.find_cluster(os.environ, metadata, **flags)
    count = cluster.num_processes if cluster is not None else 1
    if hosts > 1 and count != hosts:
        raise UserError(
            f"the machine file is for {hosts} hosts, and "
            + (f"{cluster.found_in} tells of {count}" if cluster else "there is no cluster here")
            + "; choose another with --config, or set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES "
            "and JAX_PROCESS_ID"
        )
    if cluster is None or count == 1:
        return
    seconds = os.environ.get("BABELDRAW_JOIN_SECONDS", str(processes.JOIN_SECONDS))
    processes.join(cluster, int(seconds))
    with failing.together():
        failing.require_agreement(_facts())


def _facts() -> dict[str, str]:
    """What has to be the same on every host."""
    import platform
    from importlib import metadata

    import babeldraw

    names = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    versions = {name: metadata.version(name) for name in names}
    return {"python": platform.python_version(), "babeldraw": babeldraw.__version__, **versions}


def _refused_settings(message: str) -> str | None:
    """One sentence for an error in building what the recipe names; None for one in the loop.

    Args:
      message: of a TypeError or ValueError to which gin has added the calls that it came through,
        innermost first.
    """
    called = re.findall(r"\n  In call to configurable '(\S+)'", message)
    cause = message.partition("\n")[0]
    missing = re.match(r"\S+\(\) missing \d+ required .*: (.+)", cause)
    if called and missing:
        names = missing[1].replace("'", "")
        return f"the recipe does not set {names} of {called[0]}; bind it in a gin file"
    if called and called[0] != "train":
        return f"the recipe's settings of {called[0]} do not work: {cause}"
    return None
