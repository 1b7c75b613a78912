"""512 TPU v5p chips (8x8x8): the 20B model at BATCH_SIZE = 8192, 16 stages x 32-way data.

Cloud names count cores, two a chip: this slice is "v5p-1024" there.

95.74 GiB of HBM a chip; found with `babeldraw plan`, whose figures are in the README.
Launch: 128 hosts of 4 chips, one process a host.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """See babeldraw.training.machine.Machine for what each field means."""
    return ConfigDict(
        {
            "name": "v5p_512",
            "topology": "v5p:8x8x8",
            "mesh": {"data": 32, "stage": 16, "model": 1},
            "num_microbatches": 64,
            "remat": "attention",
            "sampling_mesh": {"data": 64, "model": 8},
            "unroll": False,
            # None: by the compiler's defaults all that the loops send runs beside the products.
            "xla_flags": "",
            "checkpoint_every": 500,
            "checkpoint_keep": 3,
            "peak_flops": 459e12,  # bfloat16, a chip
            "launch": {"hosts": 128, "accelerator": "v5p-1024", "topology": "8x8x8"},
        }
    )
