"""One consumer GPU with 24 GB, such as an RTX 3090 or 4090: the rungs gpu_hour and gpu_day."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """See babeldraw.training.machine.Machine for what each field means."""
    return ConfigDict(
        {
            "name": "gpu_24gb",
            "mesh": {"data": -1, "stage": 1, "model": 1},
            "accumulate": 1,  # parts of the batch in turn; more where it does not fit
            "remat": "full",  # a larger batch is worth more than the second forward pass
            "unroll": False,  # one compiled layer in a loop: compile time does not grow with depth
            "xla_flags": "",  # one GPU sends nothing that could be hidden
            "checkpoint_every": 1000,
            "checkpoint_keep": 2,
            "launch": {"hosts": 1},
        }
    )
