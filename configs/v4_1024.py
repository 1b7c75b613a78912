"""1024 TPU v4 chips (8x8x16): the 20B model, 16 pipeline stages x 64-way data: the patent's layout.

By `plan --quick` FSDP over all 1024 (remat "attention", 2026-11-27) takes 12.7 GiB and 4.48 s a
step, this 3.97 s (compiled in full).
Cloud names count cores, two a chip: this slice is "v4-2048" there. 30.75 GiB of HBM a chip.
Launch: 256 hosts of 4 chips, one process a host.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """See babeldraw.training.machine.Machine for what each field means."""
    return ConfigDict(
        {
            "name": "v4_1024",
            "topology": "v4:8x8x16",
            # 16 encoder layers are one a stage; 64 decoder layers are four rounds of the stages.
            # Stages exchange one activation an iteration, far less than in-layer parallelism
            # would move for layers of this width.
            "mesh": {"data": 64, "stage": 16, "model": 1},
            # Of 128 examples a replica, two at a time: bubbles are 5.5% of the decoder's time. 32
            # microbatches would make it 10.5%, and more of them give smaller matrix products.
            "num_microbatches": 64,
            "remat": "full",  # 20.5e9 parameters leave no room for every layer's activations
            # In drawing there is one token a step: what counts is reading the weights, which 16
            # chips share. Their sums are small, so INFERENCE_RULES keep AllReduce.
            "sampling_mesh": {"data": 64, "model": 16},
            "unroll": False,
            # None: the shift from stage to stage is all that the loops send, and by the compiler's
            # defaults it runs beside the products (`babeldraw plan` says which exchanges overlap).
            "xla_flags": "",
            "checkpoint_every": 500,  # a step takes longer here, and so does losing one
            "checkpoint_keep": 3,
            "peak_flops": 275e12,  # bfloat16, a chip
            "launch": {"hosts": 256, "accelerator": "v4-2048", "topology": "8x8x16"},
        }
    )
