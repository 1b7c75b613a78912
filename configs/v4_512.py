"""512 TPU v4 chips (8x8x8): the 3B model at BATCH_SIZE = 8192, FSDP over all 512.

8.3 of 30.75 GiB, an estimated 1.20 s a step (MFU 68%): of `plan --quick`, 2026-11-27. The patent's
layout, v4_512_in_layer.py, takes 2.96 s.
Cloud names count cores, two a chip: this slice is "v4-1024" there.
Launch: 128 hosts of 4 chips, one process a host.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """See babeldraw.training.machine.Machine for what each field means."""
    return ConfigDict(
        {
            "name": "v4_512",
            "topology": "v4:8x8x8",
            "mesh": {"data": 512, "stage": 1, "model": 1},
            "fsdp": True,
            "remat": "attention",
            # In drawing there is one token a step: what counts is reading the weights.
            "sampling_mesh": {"data": 128, "model": 4},
            "unroll": False,
            "xla_flags": "",
            "checkpoint_every": 1000,
            "checkpoint_keep": 3,
            "peak_flops": 275e12,  # bfloat16, a chip
            "launch": {"hosts": 128, "accelerator": "v4-1024", "topology": "8x8x8"},
        }
    )
