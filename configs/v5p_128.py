"""128 TPU v5p chips (4x4x8): the 3B model at BATCH_SIZE = 8192, data parallel with FSDP.

Cloud names count cores, two a chip: this slice is "v5p-256" there.

95.74 GiB of HBM a chip; found with `babeldraw plan`, whose figures are in the README.
Launch: 32 hosts of 4 chips, one process a host.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """See babeldraw.training.machine.Machine for what each field means."""
    return ConfigDict(
        {
            "name": "v5p_128",
            "topology": "v5p:4x4x8",
            # Memory for whole layers: no in-layer parallelism, and only the state is sharded.
            "mesh": {"data": 128, "stage": 1, "model": 1},
            "fsdp": True,
            "remat": "attention",
            "sampling_mesh": {"data": 128, "model": 1},
            "unroll": False,
            # None measured: the compiler's defaults decide when a layer's weights are gathered;
            # what flags would gain, only chips can tell.
            "xla_flags": "",
            "checkpoint_every": 1000,
            "checkpoint_keep": 3,
            "peak_flops": 459e12,  # bfloat16, a chip
            "launch": {"hosts": 32, "accelerator": "v5p-256", "topology": "4x4x8"},
        }
    )
