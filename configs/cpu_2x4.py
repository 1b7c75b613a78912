"""Eight CPU devices as a 2x4 mesh: a rehearsal of data and in-layer parallelism.

Launch: 8 devices in any number of processes, such as
    python -m launch.run --on local --num_processes=4 --devices_per_process=2 \\
        --config=configs/cpu_2x4.py ...
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """See babeldraw.training.machine.Machine for what each field means."""
    return ConfigDict(
        {
            "name": "cpu_2x4",
            "mesh": {"data": 2, "stage": 1, "model": 4},
            "remat": "none",
            "unroll": True,
            # None, as on one process: see cpu.py.
            "xla_flags": "",
            "checkpoint_every": 5,
            "checkpoint_keep": 2,
            "launch": {"hosts": 1},
        }
    )
