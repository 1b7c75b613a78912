"""16 TPU v5e chips (4x4): the 350M model at BATCH_SIZE = 512, data parallel.

15.75 GiB of HBM a chip. Launch: 4 hosts of 4 chips, one process a host.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """See babeldraw.training.machine.Machine for what each field means."""
    return ConfigDict(
        {
            "name": "v5e_16",
            "topology": "v5e:4x4",
            # The whole model fits each chip, so nothing but gradients is exchanged.
            "mesh": {"data": 16, "stage": 1, "model": 1},
            "remat": "full",
            "sampling_mesh": {"data": 16, "model": 1},
            "unroll": False,
            # The sums of gradients are all that is exchanged: they run beside the backward pass.
            "xla_flags": "--xla_enable_async_all_reduce=true",
            "checkpoint_every": 1000,
            "checkpoint_keep": 3,
            "peak_flops": 197e12,  # bfloat16, a chip
            "launch": {"hosts": 4, "accelerator": "v5litepod-16", "topology": "4x4"},
        }
    )
