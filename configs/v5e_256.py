"""256 TPU v5e chips (16x16): the 20B model at BATCH_SIZE = 2048, 16 stages x 4-way in-layer x
4-way data.

15.75 GiB of HBM a chip; found with `babeldraw plan`, whose figures are in the README.
Launch: 64 hosts of 4 chips, one process a host.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """See babeldraw.training.machine.Machine for what each field means."""
    return ConfigDict(
        {
            "name": "v5e_256",
            "topology": "v5e:16x16",
            # Half the memory of a v4 chip: layers are split over 4 chips as well as over 16 stages.
            "mesh": {"data": 4, "stage": 16, "model": 4},
            "num_microbatches": 64,
            "remat": "full",
            "sampling_mesh": {"data": 16, "model": 16},
            "unroll": False,
            # None measured: in the quick plan none of the in-layer exchanges overlaps; what
            # flags for asynchronous collectives would gain, only chips can tell.
            "xla_flags": "",
            "checkpoint_every": 500,
            "checkpoint_keep": 3,
            "peak_flops": 197e12,  # bfloat16, a chip
            "launch": {"hosts": 64, "accelerator": "v5litepod-256", "topology": "16x16"},
        }
    )
