"""Slices of TPU chips by name, such as `v4:8x8x16`, as devices to compile for.

`2xv5e:16x16` is two of them, which exchange arrays over the network of their data centre.

The compiler (libtpu) describes the devices of any slice on any machine.
"""

import dataclasses
import difflib
import importlib.util
import math
from typing import Any

import jax

from babeldraw.errors import UserError
from babeldraw.planning.chips import CHIPS, Chip, split_name

# Slices that are offered: cloud.google.com/tpu/docs/supported-tpu-configurations.
_CUBES = (
    *("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8", "8x8x16"),
    *("8x16x16", "16x16x16"),
)
_SQUARES = ("2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
KNOWN = {
    "v4": _CUBES,
    "v5p": (*_CUBES, "16x16x24"),
    "v5e": _SQUARES,
    "v6e": _SQUARES,
    "tpu7x": _CUBES,
}


@dataclasses.dataclass(frozen=True)
class Topology:
    """A slice, or several of one shape.

    Attributes:
      shape: how many chips stand along each dimension of a slice.
    """

    name: str
    chip: Chip
    shape: tuple[int, ...]
    num_slices: int = 1

    @property
    def shape_name(self) -> str:
        """Of a slice, such as `16x16`."""
        return "x".join(map(str, self.shape))

    @property
    def num_chips(self) -> int:
        """Of all slices; each chip is one device or, of tpu7x, two."""
        return self.num_slices * math.prod(self.shape)

    @property
    def num_devices(self) -> int:
        """What a program is compiled for, and what a mesh arranges."""
        return self.num_chips * self.chip.devices


def find_topology(name: str) -> Topology:
    """The slice of that name, or the slices.

    Raises:
      UserError: there is none; lists those that there are. Or several of them cannot be estimated.
    """
    num_slices, family, shape = split_name(name)
    if shape not in KNOWN.get(family, ()):
        known = [f"{chip}:{shape}" for chip, shapes in KNOWN.items() for shape in shapes]
        close = difflib.get_close_matches(name, known, n=1)
        advice = f"did you mean {close[0]}? " if close else ""
        raise UserError(
            f"there is no TPU topology {name!r}; {advice}The known ones are {', '.join(known)}"
        )
    chip = CHIPS[family]
    if num_slices > 1 and not chip.network_bandwidth:
        raise UserError(
            f"{name} cannot be planned: at what rate slices of {family} exchange arrays is not "
            f"published; take {' or '.join(n for n, c in CHIPS.items() if c.network_bandwidth)}"
        )
    return Topology(name, chip, tuple(map(int, shape.split("x"))), num_slices)


def known_slices(family: str) -> list[Topology]:
    """All of a chip's, the smallest first."""
    return [find_topology(f"{family}:{shape}") for shape in KNOWN[family]]


def topology_devices(topology: Topology) -> list[jax.Device]:
    """The slice's devices, to be compiled for and nothing else.

    Raises:
      UserError: libtpu is not installed.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise UserError(
            "planning needs the TPU compiler, which is not installed here; install it with "
            '`pip install "babeldraw[plan]"` (no TPU is needed)'
        )
    from jax.experimental import topologies

    settings: dict[str, Any] = {}
    if topology.chip.torus_dimensions == 3:
        # Whole cubes are joined to a torus.
        settings = {
            "chips_per_host_bounds": (2, 2, 1),
            "wrap": (all(size % 4 == 0 for size in topology.shape),) * 3,
        }
        if topology.chip.devices == 1:  # in place of one a core
            settings["chip_config_name"] = "megacore"
    description = topologies.get_topology_desc(
        platform="tpu",
        topology_name=f"{topology.chip.name}:{topology.shape_name}",
        num_slices=topology.num_slices,
        **settings,
    )
    devices = list(description.devices)
    assert len(devices) == topology.num_devices, (len(devices), topology)
    return devices
