"""128 TPU v5e chips (8x16): the 3B model at BATCH_SIZE = 2048, 4-way in-layer x 32-way data.

15.75 GiB of HBM a chip; found with `babeldraw plan`, whose figures are in the README.
Launch: 32 hosts of 4 chips, one process a host.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """See babeldraw.training.machine.Machine for what each field means."""
    return ConfigDict(
        {
            "name": "v5e_128",
            "topology": "v5e:8x16",
            # 16 examples a chip, as on v4_512.py, in half its memory.
            "mesh": {"data": 32, "stage": 1, "model": 4},
            "remat": "full",
            "unroll": False,
            # None measured: see v4_512.py, whose layers are split in the same way.
            "xla_flags": "",
            "checkpoint_every": 1000,
            "checkpoint_keep": 3,
            "peak_flops": 197e12,  # bfloat16, a chip
            "launch": {"hosts": 32, "accelerator": "v5litepod-128", "topology": "8x16"},
        }
    )
