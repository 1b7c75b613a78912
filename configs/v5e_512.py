"""Two slices of 256 TPU v5e chips (16x16): the 3B model at BATCH_SIZE = 8192, hybrid FSDP.

Each slice has one copy of weights and optimizer state, split over its chips: between slices go
gradients alone, each chip's part. 5.1 of 15.75 GiB, an estimated 1.71 s a step (MFU 67%): of
`plan --quick`, 2026-11-28, in which 0.20 s of what is sent runs beside nothing. By FSDP over all
512 ("fsdp": True, mesh data 512) 1.83 s, and ten times the bytes between slices.
Launch: 2 x 64 hosts of 4 chips, one process a host.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """See babeldraw.training.machine.Machine for what each field means."""
    return ConfigDict(
        {
            "name": "v5e_512",
            "topology": "2xv5e:16x16",
            "mesh": {"data": 2, "stage": 1, "model": 256},
            "fsdp": "hybrid",
            "remat": "full",
            "sampling_mesh": {"data": 128, "model": 4},
            "unroll": False,
            "xla_flags": "",
            "checkpoint_every": 1000,
            "checkpoint_keep": 3,
            "peak_flops": 197e12,  # bfloat16, a chip
            "launch": {"hosts": 128, "accelerator": "v5litepod-256", "topology": "16x16"},
        }
    )
