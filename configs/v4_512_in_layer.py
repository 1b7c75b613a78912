"""512 TPU v4 chips (8x8x8): the 3B model, 4-way in-layer model parallelism x 128-way data.

The patent's layout, for when memory forces it; v4_512.py is the faster one by the plan.
Cloud names count cores, two a chip: this slice is "v4-1024" there. 30.75 GiB of HBM a chip.
Launch: 128 hosts of 4 chips, one process a host.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """See babeldraw.training.machine.Machine for what each field means."""
    return ConfigDict(
        {
            "name": "v4_512_in_layer",
            "topology": "v4:8x8x8",
            # 3.09e9 parameters, gradients (4 bytes each) and int8 moments would take 26 GiB of each
            # chip; a quarter leaves room for activations, and four chips are one host's neighbours,
            # where the in-layer collectives are cheapest.
            "mesh": {"data": 128, "stage": 1, "model": 4},
            # Keeps what self-attention adds to the residual stream: less to recompute and to send.
            "remat": "attention",
            "unroll": False,
            # None measured: the defaults make rings beside the products of 14% of what is sent.
            # What flags for asynchronous collectives would add, only chips can tell.
            "xla_flags": "",
            "checkpoint_every": 1000,
            "checkpoint_keep": 3,
            "peak_flops": 275e12,  # bfloat16, a chip
            "launch": {"hosts": 128, "accelerator": "v4-1024", "topology": "8x8x8"},
        }
    )
