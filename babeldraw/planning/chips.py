"""What one TPU chip offers a program; of tpu7x, one of the two devices that a chip is."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Chip:
    """Rates and memory of one device. The units are bytes, seconds and floating-point operations.

    Attributes:
      name: as topology names begin.
      hbm_available_gib: what the compiler lets a program use, in GiB; the rest is reserved.
      peak_flops: bfloat16 matrix products a second.
      hbm_bandwidth: bytes a second.
      link_bandwidth: bytes a second that one link between neighbours carries in one direction.
      torus_dimensions: links of a chip, halved.
      devices: that a chip is to a program; they share its links.
    """

    name: str
    hbm_available_gib: float
    peak_flops: float
    hbm_bandwidth: float
    link_bandwidth: float
    torus_dimensions: int
    devices: int = 1


CHIPS = {
    chip.name: chip
    for chip in (
        # HBM: what libtpu 0.0.42.1 states when it refuses a program that is too large ("exceeds
        # available HBM (30.75G)"). Peak, HBM bandwidth and links ("ICI BW/link (one-way)"), all
        # rounded: jax-ml.github.io/scaling-book/tpus. cloud.google.com/tpu/docs/v6e has 918e12.
        Chip("v4", 30.75, 275e12, 1.2e12, 4.5e10, 3),
        Chip("v5p", 95.74, 459e12, 2.8e12, 9.0e10, 3),
        Chip("v5e", 15.75, 197e12, 0.81e12, 4.5e10, 2),
        Chip("v6e", 31.25, 920e12, 1.6e12, 9.0e10, 2),
        # HBM as above, of a device. Half of a chip's 2307e12 and 7380e9; of its 1200e9 bytes a
        # second over six links in both directions: docs.cloud.google.com/tpu/docs/tpu7x.
        Chip("tpu7x", 94.75, 2307e12 / 2, 7380e9 / 2, 1200e9 / 6 / 2 / 2, 3, devices=2),
    )
}
