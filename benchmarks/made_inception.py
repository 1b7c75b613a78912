"""An InceptionV3 of random weights, as the files of torch-fidelity and pytorch-fid have it.

    python -m benchmarks.made_inception inception.safetensors

Equality with other evaluators shows on it as well as on the trained one, which is not ours to give.
"""

import sys
from collections.abc import Iterator

import numpy as np

_SIX = {"b": 128, "c": 160, "d": 160, "e": 192}


def convolutions() -> Iterator[tuple[str, int, int, int, int]]:
    """Name, channels in, channels out, height and width of every convolution."""
    yield "Conv2d_1a_3x3", 3, 32, 3, 3
    yield "Conv2d_2a_3x3", 32, 32, 3, 3
    yield "Conv2d_2b_3x3", 32, 64, 3, 3
    yield "Conv2d_3b_1x1", 64, 80, 1, 1
    yield "Conv2d_4a_3x3", 80, 192, 3, 3
    for letter, width, pooled in (("b", 192, 32), ("c", 256, 64), ("d", 288, 64)):
        yield f"Mixed_5{letter}.branch1x1", width, 64, 1, 1
        yield f"Mixed_5{letter}.branch5x5_1", width, 48, 1, 1
        yield f"Mixed_5{letter}.branch5x5_2", 48, 64, 5, 5
        yield f"Mixed_5{letter}.branch3x3dbl_1", width, 64, 1, 1
        yield f"Mixed_5{letter}.branch3x3dbl_2", 64, 96, 3, 3
        yield f"Mixed_5{letter}.branch3x3dbl_3", 96, 96, 3, 3
        yield f"Mixed_5{letter}.branch_pool", width, pooled, 1, 1
    yield "Mixed_6a.branch3x3", 288, 384, 3, 3
    yield "Mixed_6a.branch3x3dbl_1", 288, 64, 1, 1
    yield "Mixed_6a.branch3x3dbl_2", 64, 96, 3, 3
    yield "Mixed_6a.branch3x3dbl_3", 96, 96, 3, 3
    for letter, inner in _SIX.items():
        yield f"Mixed_6{letter}.branch1x1", 768, 192, 1, 1
        yield f"Mixed_6{letter}.branch7x7_1", 768, inner, 1, 1
        yield f"Mixed_6{letter}.branch7x7_2", inner, inner, 1, 7
        yield f"Mixed_6{letter}.branch7x7_3", inner, 192, 7, 1
        yield f"Mixed_6{letter}.branch7x7dbl_1", 768, inner, 1, 1
        yield f"Mixed_6{letter}.branch7x7dbl_2", inner, inner, 7, 1
        yield f"Mixed_6{letter}.branch7x7dbl_3", inner, inner, 1, 7
        yield f"Mixed_6{letter}.branch7x7dbl_4", inner, inner, 7, 1
        yield f"Mixed_6{letter}.branch7x7dbl_5", inner, 192, 1, 7
        yield f"Mixed_6{letter}.branch_pool", 768, 192, 1, 1
    yield "Mixed_7a.branch3x3_1", 768, 192, 1, 1
    yield "Mixed_7a.branch3x3_2", 192, 320, 3, 3
    yield "Mixed_7a.branch7x7x3_1", 768, 192, 1, 1
    yield "Mixed_7a.branch7x7x3_2", 192, 192, 1, 7
    yield "Mixed_7a.branch7x7x3_3", 192, 192, 7, 1
    yield "Mixed_7a.branch7x7x3_4", 192, 192, 3, 3
    for letter, width in (("b", 1280), ("c", 2048)):
        yield f"Mixed_7{letter}.branch1x1", width, 320, 1, 1
        yield f"Mixed_7{letter}.branch3x3_1", width, 384, 1, 1
        yield f"Mixed_7{letter}.branch3x3_2a", 384, 384, 1, 3
        yield f"Mixed_7{letter}.branch3x3_2b", 384, 384, 3, 1
        yield f"Mixed_7{letter}.branch3x3dbl_1", width, 448, 1, 1
        yield f"Mixed_7{letter}.branch3x3dbl_2", 448, 384, 3, 3
        yield f"Mixed_7{letter}.branch3x3dbl_3a", 384, 384, 1, 3
        yield f"Mixed_7{letter}.branch3x3dbl_3b", 384, 384, 3, 1
        yield f"Mixed_7{letter}.branch_pool", width, 192, 1, 1


def state(seed: int = 0) -> dict[str, np.ndarray]:
    """Every tensor of the files by name: activations neither die nor grow with depth (He 2015)."""
    rng = np.random.default_rng(seed)
    made = {}
    for name, inside, outside, height, width in convolutions():
        shape = (outside, inside, height, width)
        kernel = rng.standard_normal(shape, np.float32)
        made[f"{name}.conv.weight"] = kernel * np.float32((2 / (inside * height * width)) ** 0.5)
        made[f"{name}.bn.weight"] = 1 + 0.1 * rng.standard_normal(outside, np.float32)
        made[f"{name}.bn.bias"] = 0.1 * rng.standard_normal(outside, np.float32)
        made[f"{name}.bn.running_mean"] = 0.1 * rng.standard_normal(outside, np.float32)
        made[f"{name}.bn.running_var"] = rng.uniform(0.5, 1.5, outside).astype(np.float32)
        made[f"{name}.bn.num_batches_tracked"] = np.array(0, np.int64)
    made["fc.weight"] = rng.standard_normal((1008, 2048), np.float32) * np.float32(0.1)
    made["fc.bias"] = rng.standard_normal(1008, np.float32) * np.float32(0.1)
    return made


if __name__ == "__main__":
    import safetensors.numpy

    safetensors.numpy.save_file(state(), sys.argv[1])
