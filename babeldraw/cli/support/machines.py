"""Machine files, and the processes of a run that they describe."""

import argparse
import contextlib
import os
import runpy
import traceback
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from babeldraw.cli.support import paths
from babeldraw.cli.support.flags import Numeric
from babeldraw.errors import UserError
from babeldraw.ranges import Count, Unfit, Whole, fit

if TYPE_CHECKING:
    from jax.sharding import Mesh

BATCH_SIZE = 16
BATCH_SIZE_HELP = (
    f"pictures at once (default: {BATCH_SIZE} for each data-parallel part of the machine)"
)


def add_arguments(parser: argparse.ArgumentParser, config: str | None = None) -> None:
    """Adds the arguments of `join` and `mesh_to_draw_on`.

    Args:
      config: the machine file by default; None: one device.
    """
    parser.add_argument(
        "--config",
        default=config,
        metavar="FILE",
        help=f"machine file (default: {config or 'one device of this machine'})",
    )
    cluster = parser.add_argument_group(
        "several processes", "on TPUs, Kubernetes and Slurm they find each other without these"
    )
    cluster.add_argument("--coordinator_address", metavar="HOST:PORT", help="of process 0")
    cluster.add_argument(
        "--num_processes", type=Numeric(Count), metavar="N", help="how many there are"
    )
    cluster.add_argument(
        "--process_id", type=Numeric(Whole), metavar="I", help="of this one, from 0"
    )


def join(args: argparse.Namespace) -> Any:
    """Reads the machine file and meets the other processes; returns what the file says.

    To be called before JAX is imported: XLA and JAX read their environment then.

    Raises:
      UserError: see `load_machine_file` and `join_processes`.
    """
    config = load_machine_file(args.config)
    set_environment(config)
    join_processes(
        config,
        coordinator_address=args.coordinator_address,
        num_processes=args.num_processes,
        process_id=args.process_id,
    )
    return config


def mesh_to_draw_on(args: argparse.Namespace) -> "Mesh | None":
    """The mesh that the machine file gives sampling; None without a file: one device.

    Raises:
      UserError: see `join`; the mesh does not fit the devices.
    """
    if args.config is None:
        if args.coordinator_address is not None:
            raise UserError("several processes need a machine file: give --config.")
        return None
    config = join(args)
    from babeldraw.parallel.mesh import make_mesh
    from babeldraw.training.machine import Machine

    machine = Machine.from_config(config)
    return make_mesh(machine.drawing_mesh)


@contextlib.contextmanager
def drawing(args: argparse.Namespace) -> Iterator["Mesh | None"]:
    """The mesh of `mesh_to_draw_on`; what fails within is told to the other processes."""
    mesh = mesh_to_draw_on(args)
    from babeldraw.parallel import failing

    with failing.together():
        yield mesh


def pictures_at_once(args: argparse.Namespace, mesh: "Mesh | None") -> int:
    """--batch_size, or so many for each part of the mesh that a batch is split over."""
    if args.batch_size is not None:
        size: int = args.batch_size
        return size
    from babeldraw.parallel.rules import batch_groups

    return BATCH_SIZE * (1 if mesh is None else batch_groups(mesh))


def load_machine_file(name: str) -> Any:
    """What `get_config()` of the machine file `name` returns, an `ml_collections.ConfigDict`.

    Raises:
      UserError: there is no such file, it is no Python, it has no `get_config`, something in it
        raises, or what it gives is no mapping or has no text where XLA's flags are to be.
    """
    from ml_collections import ConfigDict

    path = paths.find_file(name, paths.search_folders(), "machine file")
    try:
        names = runpy.run_path(str(path))
        if "get_config" not in names:
            raise UserError(f"the machine file {path} has no get_config(); see configs/cpu.py")
        config = names["get_config"]()
    except UserError:
        raise
    except SyntaxError as error:
        raise UserError(f"{path}:{error.lineno}: {error.msg} in this machine file") from error
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        place = [f"{path}:{frame.lineno}" for frame in frames if frame.filename == str(path)]
        raise UserError(
            f"{place[-1] if place else path}: {type(error).__name__}: {error}, raised by this "
            "machine file"
        ) from error
    if not isinstance(config, ConfigDict | Mapping):
        raise UserError(
            f"get_config() of the machine file {path} returns {config!r}; it has to return a "
            "ConfigDict, as configs/cpu.py does"
        )
    launch = config.get("launch", {})
    hosts = launch.get("hosts", 1) if isinstance(launch, ConfigDict | Mapping) else launch
    # What is read before JAX is imported; `Machine.from_config` looks at the other fields.
    for field, kind, value in (
        ("topology", str, config.get("topology", "")),
        ("xla_flags", str, config.get("xla_flags", "")),
        ("launch.hosts", Count, hosts),
    ):
        try:
            fit(value, kind)
        except Unfit as unfit:
            raise UserError(
                f"the machine file {path} sets {field} to {value!r}: it takes {unfit}"
            ) from unfit
    return config


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
      UserError: there are not as many processes as the machine file says, they do not meet, or
        their versions differ.
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
