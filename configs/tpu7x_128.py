"""128 TPU7x chips (4x4x8), 256 devices: the 20B model at BATCH_SIZE = 8192, FSDP over all 256.

47.4 of 94.75 GiB a device, an estimated 3.40 s a step (MFU 79%): of `plan --quick`, 2026-11-27.
Cloud names count cores, two a chip: this slice is "tpu7x-256" there.
Launch, on Kubernetes alone: 32 hosts of 4 chips, one process a host.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """See babeldraw.training.machine.Machine for what each field means."""
    return ConfigDict(
        {
            "name": "tpu7x_128",
            "topology": "tpu7x:4x4x8",
            "mesh": {"data": 256, "stage": 1, "model": 1},
            "fsdp": True,
            "remat": "attention",
            "sampling_mesh": {"data": 32, "model": 8},
            "unroll": False,
            "xla_flags": "",
            "checkpoint_every": 500,
            "checkpoint_keep": 3,
            "peak_flops": 2307e12 / 2,  # bfloat16, a device
            "launch": {"hosts": 32, "accelerator": "tpu7x-256", "topology": "4x4x8"},
        }
    )
