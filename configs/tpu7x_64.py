"""64 TPU7x chips (4x4x4), 128 devices: the 3B model at BATCH_SIZE = 8192, data parallel with FSDP.

34.0 of 94.75 GiB a device, an estimated 1.03 s a step (MFU 75%): of `plan --quick`, 2026-11-27.
Cloud names count cores, two a chip: this slice is "tpu7x-128" there.
Launch, on Kubernetes alone: 16 hosts of 4 chips, one process a host.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """See babeldraw.training.machine.Machine for what each field means."""
    return ConfigDict(
        {
            "name": "tpu7x_64",
            "topology": "tpu7x:4x4x4",
            "mesh": {"data": 128, "stage": 1, "model": 1},
            "fsdp": True,
            "remat": "attention",
            "sampling_mesh": {"data": 128, "model": 1},
            "unroll": False,
            "xla_flags": "",
            "checkpoint_every": 1000,
            "checkpoint_keep": 3,
            "peak_flops": 2307e12 / 2,  # bfloat16, a device
            "launch": {"hosts": 16, "accelerator": "tpu7x-128", "topology": "4x4x4"},
        }
    )
