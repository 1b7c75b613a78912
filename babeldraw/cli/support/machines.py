"""Machine files, and the processes of a run that they describe."""

import os
import runpy
from typing import Any

from babeldraw.cli.support import paths
from babeldraw.errors import UserError


def load_machine_file(name: str) -> Any:
    """What `get_config()` of the machine file `name` returns, an `ml_collections.ConfigDict`.

    Raises:
      UserError: there is no such file, it is no Python, or it has no `get_config`.
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
