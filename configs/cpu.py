"""Two CPU cores: the tests, the quickstart, a laptop."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """See babeldraw.training.machine.Machine for what each field means."""
    return ConfigDict(
        {
            "name": "cpu",
            # One device: XLA already spreads each operation over the cores. For several fake
            # devices: XLA_FLAGS=--xla_force_host_platform_device_count=8 in the environment.
            "mesh": {"data": -1, "stage": 1, "model": 1},
            "remat": "none",  # host memory is plentiful; a second forward pass would be pure cost
            "unroll": True,  # a scan copies its stacked weights at every step of the loop
            # None: its fast-math flags trade exactness for speed, and runs are compared bit by bit.
            "xla_flags": "",
            "checkpoint_every": 500,
            "checkpoint_keep": 2,
            "launch": {"hosts": 1},
        }
    )
