"""Bytes of optimizer state for each parameter of a text-to-image size, counted in real buffers.

    python -m benchmarks.optimizer_state [--size 350m]

Every optimizer makes its state by its own code, and the arrays that it then holds are counted.
JAX optimizers see the model's whole tree. PyTorch optimizers take one step on each distinct shape
of a layer, as a matrix, and are counted as often as the shape occurs: what they keep of a parameter
does not depend on the others. Those that are not installed are listed as such
(`pip install torchao bitsandbytes`), as are those that run on no CPU.

350M (torch 2.13.0, torchao 0.18.0, bitsandbytes 0.50.2), bytes a parameter: ours 1.0094 with an
int8, 2.0073 with a bfloat16 and 4.0073 with a float32 moment; optax.adafactor 1.5704 without and
5.5704 with a moment (it factors no attention kernel); optax.adamw and torch.optim.AdamW 8; torchao
8-bit 2.0343, 4-bit 1.0649; bitsandbytes 8-bit 2.0343.
"""

import argparse
import collections
import math
import os
from collections.abc import Callable, Iterator
from typing import Any


def model_params(size: str) -> tuple[Any, Any]:
    """Shapes of the parameters, and how many layer axes each has."""
    import jax
    from flax import linen as nn

    from benchmarks.parameter_counts import abstract_params, text_to_image_model

    params = nn.unbox(abstract_params(text_to_image_model(size)))
    depths = jax.tree_util.tree_map_with_path(
        lambda path, _: int(any(key.key == "layers" for key in path)), params
    )
    return params, depths


def jax_optimizers(depths: Any) -> dict[str, Any]:
    """Name -> optax.GradientTransformation."""
    import optax

    from babeldraw.optimizers.adafactor import adafactor

    rate = 1e-3
    return {
        "babeldraw adafactor, int8 moment": adafactor(rate, layer_axes=depths),
        "babeldraw adafactor, bfloat16 moment": adafactor(
            rate, first_moment_dtype="bfloat16", layer_axes=depths
        ),
        "babeldraw adafactor, float32 moment": adafactor(
            rate, first_moment_dtype="float32", layer_axes=depths
        ),
        "optax.adafactor, no moment": optax.adafactor(rate),
        "optax.adafactor, float32 moment": optax.adafactor(rate, momentum=0.9),
        "optax.adamw": optax.adamw(rate),
    }


def bytes_of_jax(optimizer: Any, params: Any) -> int:
    """Of the state's buffers, allocated on a device and freed."""
    import jax

    zeros = lambda: jax.tree.map(lambda leaf: jax.numpy.zeros(leaf.shape, leaf.dtype), params)  # noqa: E731
    # Inside of jit the parameters are never made: only the state takes memory.
    state = jax.block_until_ready(jax.jit(lambda: optimizer.init(zeros()))())
    size = sum(
        shard.data.nbytes for leaf in jax.tree.leaves(state) for shard in leaf.addressable_shards
    )
    jax.tree.map(lambda leaf: leaf.delete(), state)
    return size


def torch_optimizers() -> Iterator[tuple[str, Callable[[list[Any]], Any] | str]]:
    """Name -> constructor, or why there is none."""
    try:
        import torch
    except ImportError:
        yield "PyTorch", "not installed"
        return
    yield "torch.optim.AdamW", lambda params: torch.optim.AdamW(params, lr=1e-3)
    try:
        from torchao import optim
    except ImportError:
        yield "torchao", "not installed"
    else:
        yield "torchao AdamW8bit", lambda params: optim.AdamW8bit(params, lr=1e-3)
        yield "torchao AdamW4bit", lambda params: optim.AdamW4bit(params, lr=1e-3)
    try:
        import bitsandbytes
    except ImportError:
        yield "bitsandbytes", "not installed"
    else:
        yield "bitsandbytes AdamW8bit", lambda params: bitsandbytes.optim.AdamW8bit(params, lr=1e-3)


def bytes_of_torch(make: Callable[[list[Any]], Any], shapes: dict[tuple[int, ...], int]) -> int:
    """Of the state after one step; `shapes` maps each shape to how often it occurs."""
    import torch

    total = 0
    for shape, times in shapes.items():
        param = torch.nn.Parameter(torch.zeros(shape))
        param.grad = torch.ones(shape)
        optimizer = make([param])
        with torch.compiler.set_stance("force_eager"):  # torchao would compile the step.
            optimizer.step()
        state = optimizer.state[param]
        total += times * sum(_storage(value) for value in state.values())
    return total


def _storage(value: Any) -> int:
    """Bytes of a tensor; of a tensor subclass that is made of tensors, those of its parts."""
    import torch

    if not isinstance(value, torch.Tensor):
        return 0
    if hasattr(value, "__tensor_flatten__"):
        names, _ = value.__tensor_flatten__()
        return sum(_storage(getattr(value, name)) for name in names)
    return value.untyped_storage().nbytes()


def matrices(params: Any, depths: Any) -> dict[tuple[int, ...], int]:
    """Shapes of single layers, kernels as matrices, and how often each occurs."""
    import jax

    from babeldraw.optimizers.adafactor import matrix_split

    counts: collections.Counter[tuple[int, ...]] = collections.Counter()
    for leaf, depth in zip(jax.tree.leaves(params), jax.tree.leaves(depths), strict=True):
        shape = leaf.shape[depth:]
        if len(shape) > 1:
            split = matrix_split(shape)
            shape = (math.prod(shape[:split]), math.prod(shape[split:]))
        counts[shape] += math.prod(leaf.shape[:depth])
    return dict(counts)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="350m", help="gin/models/SIZE.gin; default: %(default)s")
    size = parser.parse_args().size
    import jax

    params, depths = model_params(size)
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    print(f"{size}: {count:,} parameters")
    print(f"{'optimizer':42} {'bytes of state':>16} {'a parameter':>12}")

    def line(name: str, found: int | str) -> None:
        if isinstance(found, str):
            print(f"{name:42} {found:>29}")
        else:
            print(f"{name:42} {found:>16,} {found / count:>12.4f}", flush=True)

    for name, optimizer in jax_optimizers(depths).items():
        line(name, bytes_of_jax(optimizer, params))
    shapes = matrices(params, depths)
    for name, make in torch_optimizers():
        if isinstance(make, str):
            line(name, make)
            continue
        try:
            found: int | str = bytes_of_torch(make, shapes)
        except Exception as error:  # Whatever the other library says.
            found = f"fails here: {type(error).__name__}"
        line(name, found)


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
