"""The processes of one run: where they are told of each other, and how they join.

A process needs three things: the address of process 0, how many processes there are, and which of
them it is. `find_cluster` reads them from whatever started it; `join` meets the others.
"""

import dataclasses
import itertools
import os
import re
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from babeldraw.errors import UserError

PORT = 8476
"""Of process 0, where the environment names a host and no port."""

JOIN_SECONDS = 50
"""How long processes wait for each other; BABELDRAW_JOIN_SECONDS in the environment changes it."""

HEARTBEAT_SECONDS = 40
"""A process that is silent for as long is dead, and all others stop."""

Metadata = Callable[[str], str | None]
"""`metadata("agent-worker-number")` is an attribute of this cloud machine, None for none."""


@dataclasses.dataclass(frozen=True)
class Cluster:
    """What a process needs to know of its run."""

    coordinator_address: str  # "host:port" of process 0
    num_processes: int
    process_id: int
    found_in: str  # for messages

    def __post_init__(self) -> None:
        if not 0 <= self.process_id < self.num_processes:
            raise UserError(
                f"this is process {self.process_id} of {self.num_processes} by {self.found_in}: "
                f"number the processes from 0 to {self.num_processes - 1}"
            )


def find_cluster(
    environment: Mapping[str, str],
    metadata: Metadata | None = None,
    *,
    coordinator_address: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> Cluster | None:
    """What the flags, the environment or the cloud's metadata say; None where nothing does.

    Looked at in this order, first match wins:

    1. the three arguments, each of which JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and
       JAX_PROCESS_ID stand in for; in an indexed Kubernetes job JOB_COMPLETION_INDEX is the last;
    2. TPU_WORKER_HOSTNAMES and TPU_WORKER_ID, which GKE sets in pods that use TPUs;
    3. SLURM_STEP_NODELIST, SLURM_NTASKS and SLURM_PROCID, which `srun` sets;
    4. worker-network-endpoints and agent-worker-number of a Cloud TPU VM's metadata.

    Of several TPU slices 2 and 4 tell of one: MEGASCALE_COORDINATOR_ADDRESS, a host of the first,
    MEGASCALE_NUM_SLICES and MEGASCALE_SLICE_ID, in the environment or in the metadata's tpu-env,
    tell of the others.

    Args:
      environment: such as `os.environ`.
      metadata: of a Cloud TPU VM; None: this is none.

    Raises:
      UserError: one of these is there in part, or is no number.
    """
    explicit = {
        "--coordinator_address (JAX_COORDINATOR_ADDRESS)": coordinator_address
        or environment.get("JAX_COORDINATOR_ADDRESS"),
        "--num_processes (JAX_NUM_PROCESSES)": _given(
            num_processes, environment.get("JAX_NUM_PROCESSES")
        ),
        "--process_id (JAX_PROCESS_ID)": _given(
            process_id,
            environment.get("JAX_PROCESS_ID", environment.get("JOB_COMPLETION_INDEX")),
        ),
    }
    if coordinator_address or "JAX_COORDINATOR_ADDRESS" in environment:
        return _cluster(explicit, "flags or JAX_* variables")
    if "TPU_WORKER_HOSTNAMES" in environment and "TPU_WORKER_ID" in environment:
        hosts = environment["TPU_WORKER_HOSTNAMES"].split(",")
        here = environment["TPU_WORKER_ID"]
        return _of_hosts(hosts, here, "TPU_WORKER_HOSTNAMES", environment)
    if "SLURM_PROCID" in environment and "SLURM_STEP_NODELIST" in environment:
        # Two jobs may share a node: each has a port of its own.
        port = 61440 + int(environment.get("SLURM_JOB_ID", "0")) % 4096
        found = {
            "SLURM_STEP_NODELIST": f"{first_slurm_host(environment['SLURM_STEP_NODELIST'])}:{port}",
            "SLURM_NTASKS": environment.get("SLURM_NTASKS"),
            "SLURM_PROCID": environment["SLURM_PROCID"],
        }
        return _cluster(found, "Slurm's variables")
    if metadata is not None:
        endpoints, index = metadata("worker-network-endpoints"), metadata("agent-worker-number")
        if endpoints and index:
            # Either "host,host,..." or "name:port:address,...".
            hosts = [endpoint.split(":")[-1] for endpoint in endpoints.split(",")]
            # Lines such as "MEGASCALE_NUM_SLICES: '2'".
            described = re.findall(r"^\s*(\w+)\s*:\s*'?([^'\n]*)", metadata("tpu-env") or "", re.M)
            slices = {**dict(described), **environment}
            return _of_hosts(hosts, index, "the Cloud TPU's metadata", slices)
    return None


def _given(first: int | None, second: str | None) -> str | None:
    return str(first) if first is not None else second


def _of_hosts(hosts: list[str], index: str, found_in: str, slices: Mapping[str, str]) -> Cluster:
    """Of the hosts of a slice, this one's number among them, and what is said of other slices."""
    found = {found_in: f"{hosts[0]}:{PORT}", "count": str(len(hosts)), "worker number": index}
    here = _cluster(found, found_in)
    first, several, number = (
        f"MEGASCALE_{name}" for name in ("COORDINATOR_ADDRESS", "NUM_SLICES", "SLICE_ID")
    )
    if slices.get(several, "1") == "1":
        return here
    address = slices.get(first)
    of_slices = _cluster(
        {
            first: address and f"{address.partition(':')[0]}:{PORT}",
            several: slices[several],
            number: slices.get(number),
        },
        "MEGASCALE_* variables",
    )
    return Cluster(
        of_slices.coordinator_address,
        of_slices.num_processes * here.num_processes,
        of_slices.process_id * here.num_processes + here.process_id,
        f"{found_in} and MEGASCALE_* variables",
    )


def _cluster(found: Mapping[str, str | None], found_in: str) -> Cluster:
    """From address, count and index, in this order."""
    for name, value in found.items():
        if value is None:
            raise UserError(
                f"this process is told of others by {found_in}, but {name} is missing: set it"
            )
    (_, address), *numbers = found.items()
    for name, value in numbers:
        if not str(value).isdecimal():
            raise UserError(f"{name} is {value!r}: make it a whole number")
    count, index = (int(value or 0) for _, value in numbers)
    return Cluster(str(address), count, index, found_in)


def first_slurm_host(nodes: str) -> str:
    """The first of a list such as `login,tpu[007-009,12]`: `login`; of `tpu[007-009]`: `tpu007`."""
    match = re.match(r"([^,\[]+)(?:\[(\w+))?([^,\]]*)(?:[^\]]*\]([^,]*))?", nodes)
    if match is None:
        raise UserError(f"SLURM_STEP_NODELIST is {nodes!r}, which names no host")
    prefix, first, _, suffix = match.groups()
    return prefix + (first or "") + (suffix or "" if first else "")


def cloud_metadata(attribute: str) -> str | None:
    """An attribute of this Google Cloud machine, None where it is none or has no such attribute."""
    import urllib.error
    import urllib.request

    # cloud.google.com/compute/docs/metadata/querying-metadata
    request = urllib.request.Request(
        f"http://metadata.google.internal/computeMetadata/v1/instance/attributes/{attribute}",
        headers={"Metadata-Flavor": "Google"},
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            value: str = answer.read().decode()
    except (OSError, urllib.error.URLError):
        return None
    return value


def join(cluster: Cluster, seconds: int = JOIN_SECONDS) -> None:
    """Connects to the other processes; to be called before anything touches a device.

    Args:
      seconds: how long to wait for all of them.

    Raises:
      UserError: this one is not welcome. Where the others do not come in time, the same sentence is
        printed and the process ends with status 2: JAX would abort with a stack trace.
    """
    import jax

    def sentence() -> str:
        host = socket.gethostname()
        return (
            f"process {cluster.process_id} of {cluster.num_processes} on {host} has not met all "
            f"others at {cluster.coordinator_address} within {seconds} s (by {cluster.found_in}); "
            f"check that all {cluster.num_processes} are started, and that each reaches the address"
        )

    def give_up() -> None:
        print(f"babeldraw: error: {sentence()}", file=sys.stderr, flush=True)
        os._exit(2)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        jax.distributed.initialize(
            cluster.coordinator_address,
            cluster.num_processes,
            cluster.process_id,
            cluster_detection_method="deactivate",
            initialization_timeout=2 * seconds,  # the timer comes first
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{sentence()}: {type(error).__name__}: {reason}") from error
    finally:
        timer.cancel()


def client() -> Any:
    """The coordination service's client, None in a run of one process."""
    # JAX has no public name for it; Orbax reads it from here too.
    from jax._src import distributed

    return distributed.global_state.client


def is_joined() -> bool:
    """Whether this process is one of several."""
    return "jax" in sys.modules and client() is not None


def index_and_count() -> tuple[int, int]:
    """Of this process, as it has joined; unlike `jax.process_index()` this touches no device."""
    from jax._src import distributed

    return distributed.global_state.process_id, distributed.global_state.num_processes


def is_first() -> bool:
    """Whether this is process 0, which writes and speaks for all, or the only one."""
    return index_and_count()[0] == 0


_meetings = itertools.count()


def meet(seconds: int = 3600) -> None:
    """Returns when every process has called it.

    Unlike a collective operation this waits through the coordination service. Where one process
    finds its program in the cache and the others compile it, the first collective of the CPU
    backend gives up after 30 s.
    """
    if client() is not None:
        client().wait_at_barrier(f"babeldraw/meeting/{next(_meetings)}", 1000 * seconds)
