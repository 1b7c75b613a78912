"""What the TPU compiler makes of FSDP's ReduceScatters: `python -m benchmarks.gradient_sums`.

The gradient of one kernel, float32[4096, 16384], summed over all chips of a slice and left in
parts, named as a ReduceScatter over all of them at once and over one side after the other.
Prints a row a slice. Compiled for slices that are not there, in some seconds each.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from babeldraw.planning.collectives import find_collectives
from babeldraw.planning.environment import prepare_environment
from babeldraw.planning.hlo import Program

SLICES = (
    *("v4:4x4x8", "v4:8x8x8", "v5p:4x4x8", "v5e:8x16", "v5e:16x16", "v6e:8x8", "v6e:16x16"),
    "tpu7x:4x4x4",
)
FAN_IN, FAN_OUT, ROWS = 4096, 16384, 256
"""Of the kernel; and the rows that each chip has of what it is multiplied with."""


def collectives(mesh: Mesh, names: Sequence[str | tuple[str, ...]]) -> list[str]:
    """Those of the compiled sum, the largest first: a ReduceScatter over each of `names`."""
    rows = NamedSharding(mesh, PartitionSpec(mesh.axis_names))

    def own_part(x: jax.Array, gradient: jax.Array) -> jax.Array:
        part = jnp.matmul(x.T, gradient, preferred_element_type=jnp.float32)
        for name in names:
            part = jax.lax.psum_scatter(part, name, scatter_dimension=0, tiled=True)
        return part

    sum_rows = jax.shard_map(
        own_part, mesh=mesh, in_specs=(rows.spec, rows.spec), out_specs=rows.spec
    )
    inputs = [
        jax.ShapeDtypeStruct((ROWS * mesh.size, width), jnp.bfloat16, sharding=rows)
        for width in (FAN_IN, FAN_OUT)
    ]
    program = Program(jax.jit(sum_rows).lower(*inputs).compile().as_text())
    found = find_collectives(program, dict(zip(mesh.axis_names, mesh.devices.shape, strict=True)))
    return [f"{row.kind} of {row.bytes / 2**20:.0f} MiB" for row in found]


def main() -> None:
    """Compiles, and prints the table."""
    prepare_environment()
    from babeldraw.planning.topologies import find_topology, topology_devices

    print("| slice | over all chips at once | over one side after the other |\n|---|---|---|")
    for name in SLICES:
        topology = find_topology(name)
        cores = () if topology.chip.devices == 1 else (topology.chip.devices,)
        shape = (*topology.shape, *cores)
        devices = mesh_utils.create_device_mesh(shape, topology_devices(topology))
        axes = tuple(f"side{number}" for number in range(len(shape)))
        sides = Mesh(devices, axes)
        line = Mesh(np.reshape(devices, topology.num_devices), ("data",))
        at_once = ", ".join(collectives(line, ["data"]))
        in_turn = ", ".join(collectives(sides, axes))
        print(f"| {name} | {at_once} | {in_turn} |", flush=True)


if __name__ == "__main__":
    main()
