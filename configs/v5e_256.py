"""256 TPU v5e chips (16x16): the 20B model at BATCH_SIZE = 2048, FSDP over all 256.

9.2 of 15.75 GiB, an estimated 6.43 s a step (MFU 61%): of `plan --quick`, 2026-11-27, in which
nothing that is sent runs beside the products: 1.36 s. As 16 stages x 4-way in-layer x 4-way data,
as this file was, 11.33 s.
Launch: 64 hosts of 4 chips, one process a host.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """See babeldraw.training.machine.Machine for what each field means."""
    return ConfigDict(
        {
            "name": "v5e_256",
            "topology": "v5e:16x16",
            "mesh": {"data": 256, "stage": 1, "model": 1},
            "fsdp": True,
            "remat": "full",
            "sampling_mesh": {"data": 16, "model": 16},
            "unroll": False,
            "xla_flags": "",
            "checkpoint_every": 500,
            "checkpoint_keep": 3,
            "peak_flops": 197e12,  # bfloat16, a chip
            "launch": {"hosts": 64, "accelerator": "v5litepod-256", "topology": "16x16"},
        }
    )
