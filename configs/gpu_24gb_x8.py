"""Eight consumer GPUs with 24 GB in one host, such as RTX 4090s, joined by PCIe alone.

Launch: one process, all GPUs that it sees. BATCH_SIZE is of all of them together: eight times that
of one GPU.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """See babeldraw.training.machine.Machine for what each field means."""
    return ConfigDict(
        {
            "name": "gpu_24gb_x8",
            # Whole models side by side: PCIe is too slow to send weights or activations.
            "mesh": {"data": 8, "stage": 1, "model": 1},
            "remat": "full",  # a larger batch is worth more than the second forward pass
            "unroll": False,  # one compiled layer in a loop: compile time does not grow with depth
            # Moves the sums of gradients apart from their use, so that they run beside products.
            "xla_flags": "--xla_gpu_enable_latency_hiding_scheduler=true",
            "checkpoint_every": 1000,
            "checkpoint_keep": 2,
            "launch": {"hosts": 1},
        }
    )
