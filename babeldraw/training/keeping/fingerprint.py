"""A number for each array of a state, by which damage on disk is found when it is read again.

Storage may return other numbers than were written without a word: of a checkpoint's files, only
the index has checksums of its own. The fingerprint of an array of n numbers is

    sum over i < n of bits(x_i) (2 i + 1)   modulo 2^32,

where bits are the number's own as an unsigned integer and i its place in row-major order. An odd
factor is invertible modulo 2^32, so that any one number that changes is found, and two that change
places nearly always. It does not depend on the mesh, nor on how leading axes are split: that of a
pipelined stack is that of the sequential one.
"""

import hashlib
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped

Fingerprints = dict[str, int]
"""By the name of the variable."""


_CHUNK = 2**20


def fingerprint_arrays(arrays: dict[str, Shaped[Array, "..."]]) -> Fingerprints:
    """Of arrays on one mesh, by name; to be called by all processes.

    Where the devices are this process's own CPU there is nothing to gain from a program on them,
    which would have to be compiled.
    """
    if jax.default_backend() == "cpu" and jax.process_count() == 1:
        return {name: fingerprint_host_array(np.asarray(array)) for name, array in arrays.items()}
    return fingerprint_on_devices(arrays)


def fingerprint_on_devices(arrays: dict[str, Shaped[Array, "..."]]) -> Fingerprints:
    """The same by one program that reads each array once, where it lies."""
    names = sorted(arrays)
    leaves = [arrays[name] for name in names]
    sharding = getattr(leaves[0], "sharding", None) if leaves else None
    if isinstance(sharding, jax.sharding.NamedSharding):
        sharding = jax.sharding.NamedSharding(sharding.mesh, jax.sharding.PartitionSpec())
    else:
        sharding = None
    sums = jax.jit(_all, out_shardings=sharding)(leaves)
    return dict(zip(names, np.asarray(jax.device_get(sums)).tolist(), strict=True))


def fingerprint_host_array(array: Shaped[np.ndarray, "..."]) -> int:
    """The same of an array in the host's memory."""
    flat = np.ascontiguousarray(array).reshape(-1)
    bits = flat.view(np.dtype(f"uint{8 * flat.dtype.itemsize}"))
    total = 0
    for start in range(0, flat.size, _CHUNK):
        chunk = bits[start : start + _CHUNK].astype(np.uint32)
        factors = np.uint32(2 * start % 2**32 + 1) + 2 * np.arange(chunk.size, dtype=np.uint32)
        total += int(np.sum(chunk * factors, dtype=np.uint32))
    return total % 2**32


def _all(leaves: list[jax.Array]) -> jax.Array:
    return jnp.stack([_one(leaf) for leaf in leaves]) if leaves else jnp.zeros(0, jnp.uint32)


def _one(array: jax.Array) -> jax.Array:
    array = jnp.asarray(array)
    width = 8 * array.dtype.itemsize
    bits = jax.lax.bitcast_convert_type(array, jnp.dtype(f"uint{width}")).astype(jnp.uint32)
    place = jnp.zeros(array.shape, jnp.uint32)
    for axis in range(array.ndim):
        stride = math.prod(array.shape[axis + 1 :]) % 2**32
        place += jax.lax.broadcasted_iota(jnp.uint32, array.shape, axis) * jnp.uint32(stride)
    return jnp.sum(bits * (2 * place + 1), dtype=jnp.uint32)


def identity(arrays: dict[str, Shaped[Array, "..."]]) -> str:
    """A hash of a network's fingerprints, by which it is known again on any mesh.

    To be called by all processes of the arrays' mesh.
    """
    shapes = {name: f"{array.dtype}{list(array.shape)}" for name, array in arrays.items()}
    told = json.dumps([fingerprint_arrays(arrays), shapes], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def differing(found: Fingerprints, written: Fingerprints) -> list[str]:
    """Names whose fingerprints were written and are others now."""
    return [name for name in sorted(found) if written.get(name, found[name]) != found[name]]
