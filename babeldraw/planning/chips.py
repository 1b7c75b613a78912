"""What one TPU chip offers a program; of tpu7x, one of the two devices that a chip is."""

import dataclasses
import re


@dataclasses.dataclass(frozen=True)
class Chip:
    """Rates and memory of one device. The units are bytes, seconds and floating-point operations.

    Attributes:
      name: as topology names begin.
      hbm_available_gib: what the compiler lets a program use, in GiB; the rest is reserved.
      peak_flops: bfloat16 matrix products a second.
      hbm_bandwidth: bytes a second.
      link_bandwidth: bytes a second that one link between neighbours carries in one direction.
      network_bandwidth: bytes a second that it sends to other slices, through its host; 0 where
        that is not published.
      torus_dimensions: links of a chip, halved.
      devices: that a chip is to a program; they share its links.
    """

    name: str
    hbm_available_gib: float
    peak_flops: float
    hbm_bandwidth: float
    link_bandwidth: float
    network_bandwidth: float
    torus_dimensions: int
    devices: int = 1


CHIPS = {
    chip.name: chip
    for chip in (
        # HBM: what libtpu 0.0.42.1 states when it refuses a program that is too large ("exceeds
        # available HBM (30.75G)"). Peak, HBM bandwidth and links ("ICI BW/link (one-way)"), all
        # rounded: jax-ml.github.io/scaling-book/tpus. cloud.google.com/tpu/docs/v6e has 918e12.
        # Networks of data centres: 6.4e12 bits a second for 256 chips, docs.cloud.google.com/tpu/
        # docs/v5e; 50e9 and 100e9 bits a chip, docs.cloud.google.com/tpu/docs/tpu7x.
        Chip("v4", 30.75, 275e12, 1.2e12, 4.5e10, 0.0, 3),
        Chip("v5p", 95.74, 459e12, 2.8e12, 9.0e10, 50e9 / 8, 3),
        Chip("v5e", 15.75, 197e12, 0.81e12, 4.5e10, 6.4e12 / 256 / 8, 2),
        Chip("v6e", 31.25, 920e12, 1.6e12, 9.0e10, 100e9 / 8, 2),
        # HBM as above, of a device. Half of a chip's 2307e12 and 7380e9; of its 1200e9 bytes a
        # second over six links in both directions: docs.cloud.google.com/tpu/docs/tpu7x.
        Chip(
            *("tpu7x", 94.75, 2307e12 / 2, 7380e9 / 2, 1200e9 / 6 / 2 / 2, 100e9 / 8 / 2, 3),
            devices=2,
        ),
    )
}


def split_name(topology: str) -> tuple[int, str, str]:
    """(slices, family, shape) of a name such as `v4:8x8x16` or, of two slices, `2xv5e:16x16`."""
    several = re.match(r"([1-9]\d*)x(?=[a-z])", topology)
    family, _, shape = topology[several.end() if several else 0 :].partition(":")
    return int(several[1]) if several else 1, family, shape
