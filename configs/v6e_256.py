"""256 TPU v6e chips (16x16): the 20B model at BATCH_SIZE = 2048, 16 stages x 16-way data.

31.25 GiB of HBM a chip; found with `babeldraw plan`, whose figures are in the README.
Launch: 64 hosts of 4 chips, one process a host.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """See babeldraw.training.machine.Machine for what each field means."""
    return ConfigDict(
        {
            "name": "v6e_256",
            "topology": "v6e:16x16",
            "mesh": {"data": 16, "stage": 16, "model": 1},
            "num_microbatches": 64,
            "remat": "full",
            "sampling_mesh": {"data": 16, "model": 16},
            "unroll": False,
            # None: by the compiler's defaults all that the loops send runs beside the products.
            "xla_flags": "",
            "checkpoint_every": 500,
            "checkpoint_keep": 3,
            "peak_flops": 920e12,  # bfloat16, a chip
            "launch": {"hosts": 64, "accelerator": "v6e-256", "topology": "16x16"},
        }
    )
