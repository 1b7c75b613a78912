"""64 TPU v6e chips (8x8): the 3B model at BATCH_SIZE = 2048, FSDP over all 64.

17.5 of 31.25 GiB, an estimated 0.80 s a step (MFU 61%), bound by HBM: of `--quick`.
The fastest of the layouts that a search compiled on 2026-11-26:
  babeldraw plan --search --gin_file=gin/runs/text_to_image.gin
    --gin_file=gin/tokenizers/small_small.gin --gin_file=gin/tasks/coco.gin
    --gin_file=gin/models/3b.gin --gin.BATCH_SIZE=2048 --topology=v6e:8x8
Launch: 16 hosts of 4 chips, one process a host.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """See babeldraw.training.machine.Machine for what each field means."""
    return ConfigDict(
        {
            "name": "v6e_64",
            "topology": "v6e:8x8",
            "mesh": {"data": 64, "stage": 1, "model": 1},
            "fsdp": True,
            "remat": "attention",
            "unroll": False,
            "xla_flags": "",
            "checkpoint_every": 1000,
            "checkpoint_keep": 3,
            "peak_flops": 920e12,  # bfloat16, a chip
            "launch": {"hosts": 16, "accelerator": "v6e-64", "topology": "8x8"},
        }
    )
