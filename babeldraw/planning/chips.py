"""What one TPU chip offers a program."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Chip:
    """Rates and memory of one chip. The units are bytes, seconds and floating-point operations.

    Attributes:
      name: as topology names begin.
      hbm_available_gib: what the compiler lets a program use, in GiB; the rest is reserved.
      peak_flops: bfloat16 matrix products a second.
      hbm_bandwidth: bytes a second.
      link_bandwidth: bytes a second that one link between neighbours carries in one direction.
      torus_dimensions: links of a chip, halved.
    """

    name: str
    hbm_available_gib: float
    peak_flops: float
    hbm_bandwidth: float
    link_bandwidth: float
    torus_dimensions: int


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
    )
}
