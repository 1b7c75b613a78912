"""128 TPU v5e chips (8x16): the 3B model at BATCH_SIZE = 2048, FSDP over all 128.

9.0 of 15.75 GiB, an estimated 1.65 s a step (MFU 69%): of `plan --quick`, 2026-11-27. With remat
"full" it is 5.4 GiB and 1.68 s; as 4-way in-layer x 32-way data, as this file was, 4.98 s.
Launch: 32 hosts of 4 chips, one process a host.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """See babeldraw.training.machine.Machine for what each field means."""
    return ConfigDict(
        {
            "name": "v5e_128",
            "topology": "v5e:8x16",
            "mesh": {"data": 128, "stage": 1, "model": 1},
            "fsdp": True,
            "remat": "attention",
            # Whole weights on each chip would take 19.7 GiB in drawing.
            "sampling_mesh": {"data": 32, "model": 4},
            "unroll": False,
            "xla_flags": "",
            "checkpoint_every": 1000,
            "checkpoint_keep": 3,
            "peak_flops": 197e12,  # bfloat16, a chip
            "launch": {"hosts": 32, "accelerator": "v5litepod-128", "topology": "8x16"},
        }
    )
