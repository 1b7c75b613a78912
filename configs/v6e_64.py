"""64 TPU v6e chips (8x8): the 3B model at BATCH_SIZE = 2048, 4-way in-layer x 16-way data.

31.25 GiB of HBM a chip; found with `babeldraw plan`, whose figures are in the README.
Launch: 16 hosts of 4 chips, one process a host.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """See babeldraw.training.machine.Machine for what each field means."""
    return ConfigDict(
        {
            "name": "v6e_64",
            "topology": "v6e:8x8",
            "mesh": {"data": 16, "stage": 1, "model": 4},
            "remat": "full",
            "unroll": False,
            # None measured: see v4_512.py, whose layers are split in the same way.
            "xla_flags": "",
            "checkpoint_every": 1000,
            "checkpoint_keep": 3,
            "peak_flops": 920e12,  # bfloat16, a chip
            "launch": {"hosts": 16, "accelerator": "v6e-64", "topology": "8x8"},
        }
    )
