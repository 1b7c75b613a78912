"""model-info.txt: every variable of a run, and what it costs on each device."""

import math
from collections.abc import Mapping

from jax import numpy as jnp
from jax.sharding import Mesh

from babeldraw.training.state import Variable


def model_info(variables: list[Variable], mesh: Mesh) -> str:
    """A table with a line for each variable, then totals.

    Columns: name; dtype and shape; logical axes; partition spec over the mesh; bytes on each
    device. Axis names and partitions are those that the state is really placed with.
    """
    header = ("variable", "shape", "logical axes", "partition", "bytes a device")
    lines = [header, *(_row(variable) for variable in variables)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header) - 1)]
    table = [
        "  ".join(
            [*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]
        )
        for line in lines
    ]
    sizes = ", ".join(f"{axis} {size}" for axis, size in mesh.shape.items())
    totals = [f"mesh: {sizes} ({mesh.size} devices)"]
    groups: dict[str, list[Variable]] = {}
    for variable in variables:
        parts = variable.name.split("/")
        groups.setdefault("/".join(parts[:2]), []).append(variable)
    for group, members in groups.items():
        count = sum(math.prod(member.shape) for member in members)
        size = sum(member.bytes_a_device for member in members)
        totals.append(f"{group}: {count:,} numbers, {size:,} bytes a device")
    size = sum(variable.bytes_a_device for variable in variables)
    totals.append(f"total parameters: {count_parameters(variables):,}")
    totals.append(f"total: {size:,} bytes a device")
    return "\n".join([*table, "", *totals]) + "\n"


def count_parameters(variables: list[Variable]) -> int:
    """Parameters of all players, averages among them; optimizer state is not counted."""
    return sum(math.prod(v.shape) for v in variables if v.name.startswith("params/"))


def _row(variable: Variable) -> tuple[str, ...]:
    spec: Mapping[int, object] = dict(enumerate(variable.sharding.spec))
    partition = ", ".join(str(spec.get(axis)) for axis in range(len(variable.shape)))
    return (
        variable.name,
        f"{jnp.dtype(variable.dtype).name}{list(variable.shape)}",
        f"({', '.join(str(axis) for axis in variable.axes)})",
        f"({partition})",
        f"{variable.bytes_a_device:,}",
    )
