"""256 TPU v6e chips (16x16): the 20B model at BATCH_SIZE = 2048, FSDP over all 256.

13.4 of 31.25 GiB, an estimated 1.75 s a step (MFU 48%): of `plan --quick`, 2026-11-27, in which
nothing that is sent runs beside the products: 0.68 s. As 16 stages x 16-way data, as this file was,
2.80 s.
Launch: 64 hosts of 4 chips, one process a host.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """See babeldraw.training.machine.Machine for what each field means."""
    return ConfigDict(
        {
            "name": "v6e_256",
            "topology": "v6e:16x16",
            "mesh": {"data": 256, "stage": 1, "model": 1},
            "fsdp": True,
            "remat": "attention",
            "sampling_mesh": {"data": 16, "model": 16},
            "unroll": False,
            "xla_flags": "",
            "checkpoint_every": 500,
            "checkpoint_keep": 3,
            "peak_flops": 920e12,  # bfloat16, a chip
            "launch": {"hosts": 64, "accelerator": "v6e-256", "topology": "16x16"},
        }
    )
