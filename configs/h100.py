"""GPUs of one host, such as one H100 with 80 GB: every size up to 750M by data parallelism.

Launch: one process, all GPUs that it sees.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """See babeldraw.training.machine.Machine for what each field means."""
    return ConfigDict(
        {
            "name": "h100",
            "mesh": {"data": -1, "stage": 1, "model": 1},
            "remat": "full",  # a larger batch is worth more than the second forward pass
            "unroll": False,  # one compiled layer in a loop: compile time does not grow with depth
            # Moves the sums of gradients apart from their use, so that they run beside products.
            "xla_flags": "--xla_gpu_enable_latency_hiding_scheduler=true",
            "checkpoint_every": 1000,
            "checkpoint_keep": 3,
            "peak_flops": 989e12,  # bfloat16, dense: NVIDIA's data sheet of the H100 SXM
            "launch": {"hosts": 1, "accelerator": "nvidia-h100"},
        }
    )
