import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from babeldraw.parallel.mesh import make_mesh
from babeldraw.training.keeping.fingerprint import (
    differing,
    fingerprint_arrays,
    fingerprint_host_array,
    fingerprint_on_devices,
)

RNG = np.random.default_rng(0)
ARRAYS = {
    "float32": RNG.normal(size=(4, 6, 8)).astype(np.float32),
    "bfloat16": jnp.asarray(RNG.normal(size=(8, 2)), jnp.bfloat16),
    "int8": RNG.integers(-127, 128, size=(16, 4), dtype=np.int8),
    "int32": np.int32(7),
    "none": np.zeros((0, 3), np.float32),
}


def test_is_the_formula():
    numbers = np.array([1.0, -2.5, 0.0], np.float32)
    bits = [int.from_bytes(number.tobytes(), "little") for number in numbers]
    expected = sum(b * (2 * i + 1) for i, b in enumerate(bits)) % 2**32
    assert fingerprint_host_array(numbers) == expected
    assert fingerprint_arrays({"x": jnp.asarray(numbers)}) == {"x": expected}
    assert fingerprint_on_devices({"x": jnp.asarray(numbers)}) == {"x": expected}


def test_devices_hosts_and_meshes_agree():
    expected = {name: fingerprint_host_array(np.asarray(a)) for name, a in ARRAYS.items()}
    assert fingerprint_arrays(ARRAYS) == fingerprint_on_devices(ARRAYS) == expected
    mesh = make_mesh({"data": 2, "model": 4})
    spread = {
        name: jax.device_put(array, NamedSharding(mesh, spec))
        for name, array, spec in (
            ("float32", ARRAYS["float32"].reshape(2, 2, 6, 8), PartitionSpec(None, "data", None)),
            ("int8", ARRAYS["int8"], PartitionSpec("model", "data")),
        )
    }
    assert fingerprint_on_devices(spread) == {name: expected[name] for name in spread}


def test_long_arrays_are_read_in_chunks(monkeypatch):
    expected = fingerprint_host_array(ARRAYS["float32"])
    monkeypatch.setattr("babeldraw.training.keeping.fingerprint._CHUNK", 7)
    assert fingerprint_host_array(ARRAYS["float32"]) == expected


@pytest.mark.parametrize("place", [(0, 0, 0), (3, 5, 7)])
def test_one_bit_and_one_exchange_are_found(place):
    array = ARRAYS["float32"].copy()
    before = fingerprint_host_array(array)
    array.view(np.uint32)[place] ^= 1
    assert fingerprint_host_array(array) != before
    swapped = ARRAYS["float32"][::-1]
    assert fingerprint_host_array(swapped) != before


def test_only_what_was_written_is_compared():
    assert differing({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 3}) == ["b"]
