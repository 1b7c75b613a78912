"""An estimate of a step's time from the chip's rates. Nothing here is measured."""

import dataclasses
import math
from collections.abc import Iterable

from babeldraw.planning.collectives import SLICES, Collective
from babeldraw.planning.topologies import Topology


@dataclasses.dataclass(frozen=True)
class Roofline:
    """Seconds of one step on one device.

    Attributes:
      compute: executed operations (rematerialisation and bubbles included) at the peak rate.
      memory: bytes to and from HBM at its full bandwidth.
      collectives: bytes over the links, of collectives that nothing runs beside.
      overlapped: the same of those that computation runs beside.
    """

    compute: float
    memory: float
    collectives: float
    overlapped: float

    @property
    def step_seconds(self) -> float:
        """Compute, memory and overlapped collectives run side by side, other collectives alone."""
        return max(self.compute, self.memory, self.overlapped) + self.collectives

    @property
    def bound(self) -> str:
        """What most of the step's time is: `compute`, `HBM` or `links`."""
        if self.collectives > max(self.compute, self.memory, self.overlapped):
            return "links"
        sides = {"compute": self.compute, "HBM": self.memory, "links": self.overlapped}
        return max(sides, key=sides.__getitem__)


def estimate(
    executed_flops: float,
    memory_bytes: int,
    collectives: Iterable[Collective],
    topology: Topology,
) -> Roofline:
    """The roofline of a program.

    Args:
      executed_flops: of all chips together.
      memory_bytes: moved by one device.
    """
    alone = overlapped = 0.0
    for collective in collectives:
        seconds = collective.times * collective_seconds(collective, topology)
        if collective.overlapped:
            overlapped += seconds
        else:
            alone += seconds
    chip = topology.chip
    return Roofline(
        compute=executed_flops / topology.num_devices / chip.peak_flops,
        memory=memory_bytes / chip.hbm_bandwidth,
        collectives=alone,
        overlapped=overlapped,
    )


def collective_seconds(collective: Collective, topology: Topology) -> float:
    """Of one run of a collective; see `exchange_seconds`."""
    if collective.axes == (SLICES,):
        return between_slices_seconds(collective.kind, collective.bytes, topology)
    members = max(collective.group_size, 2)
    return exchange_seconds(collective.kind, collective.bytes, members, topology)


def between_slices_seconds(kind: str, size: float, topology: Topology) -> float:
    """Of an exchange between all slices on an array of `size` bytes of each device; no latency.

    Each device has its part of its host's network, which sends and receives at the same time.
    """
    slices, chip = topology.num_slices, topology.chip
    if slices == 1:
        return 0.0
    seconds = size * (slices - 1) / slices / chip.network_bandwidth
    return 2 * seconds if kind == "all-reduce" else seconds


def exchange_seconds(kind: str, size: float, members: int, topology: Topology) -> float:
    """Of a collective over `members` devices on an array of `size` bytes, latency left out.

    An array of V bytes goes around a ring of n chips in V (n - 1) / n / (2 link) seconds, both
    directions in use, and an all-reduce does so twice (jax-ml.github.io/scaling-book/sharding). A
    group that is longer than the torus has links along as many dimensions as it needs.
    """
    link = topology.chip.link_bandwidth
    if kind == "collective-permute":
        return size / link
    dimensions = math.ceil(math.log(max(members, 2)) / math.log(max(topology.shape)) - 1e-9)
    ring = 2 * link * min(max(dimensions, 1), topology.chip.torus_dimensions)
    if kind == "all-to-all":
        return size / 4 / ring
    seconds = size * (members - 1) / members / ring
    return 2 * seconds if kind == "all-reduce" else seconds
