"""The grid of devices that a program runs on, with named axes.

`data` splits the batch, `stage` the layers of a pipelined stack, `model` the layers' widths, or
under hybrid FSDP the batch and each weight.
"""

import math
from collections.abc import Mapping, Sequence

import jax
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh

from babeldraw.errors import UserError

AXES = ("data", "stage", "model")
"""Every mesh has all of them, in this order; an axis that is not asked for has size 1."""


def make_mesh(axes: Mapping[str, int], devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Arranges the devices as `axes` says, for use with `jax.set_mesh`.

    Of several TPU slices each is a block of places along `data`: what goes along the other axes
    stays within a slice.

    Args:
      axes: axis name -> size, such as `{"data": -1, "model": 4}`. At most one size is -1: it
        takes the devices that the others leave.
      devices: the devices to arrange; all devices of all processes by default.

    Returns:
      A mesh with the axes `AXES`. They are Auto axes: under Explicit ones Flax's sharding
      constraints raise.

    Raises:
      UserError: an unknown axis, sizes that do not multiply to the number of devices, or a `data`
        that the slices do not divide.
    """
    devices = list(jax.devices() if devices is None else devices)
    unknown = sorted(set(axes) - set(AXES))
    if unknown:
        raise UserError(
            f"The mesh axis {unknown[0]!r} is unknown: name the axes of the machine file's mesh "
            f"from {', '.join(AXES)}."
        )
    shape = _fill({name: axes.get(name, 1) for name in AXES}, len(devices))
    slices = _num_slices(devices)
    if shape["data"] % slices:
        raise UserError(
            f"The mesh axis 'data' of {shape['data']} does not divide over {slices} slices: make "
            f"it a multiple of {slices} in the machine file's mesh."
        )
    if slices == 1:
        grid = mesh_utils.create_device_mesh(
            tuple(shape.values()), devices, allow_split_physical_axes=True
        )
    else:
        within = shape | {"data": shape["data"] // slices}
        grid = mesh_utils.create_hybrid_device_mesh(
            tuple(within.values()), (slices, 1, 1), devices, allow_split_physical_axes=True
        )
    return Mesh(grid, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def _num_slices(devices: Sequence[jax.Device]) -> int:
    """Over how many TPU slices the devices are spread; 1 of what is no TPU."""
    return len({getattr(d, "slice_index", 0) if d.platform == "tpu" else 0 for d in devices})


def one_device() -> Mesh:
    """The first device of this process, as a mesh."""
    return make_mesh({}, jax.local_devices()[:1])


def _fill(shape: dict[str, int], num_devices: int) -> dict[str, int]:
    """Replaces the size -1 and checks that the sizes multiply to `num_devices`."""
    written = " x ".join(f"{name} {size}" for name, size in shape.items())
    open_axes = [name for name, size in shape.items() if size == -1]
    if len(open_axes) > 1 or any(size < 1 and size != -1 for size in shape.values()):
        raise UserError(
            f"The mesh {written} cannot be made: sizes are positive, and at most one is -1."
        )
    known = math.prod(size for size in shape.values() if size != -1)
    if open_axes and num_devices % known == 0:
        return shape | {open_axes[0]: num_devices // known}
    if known == num_devices:
        return shape
    fault = (
        f"{num_devices} devices do not divide by {known}"
        if open_axes
        else f"that is {known} devices and there are {num_devices}"
    )
    raise UserError(
        f"The mesh {written} does not fit this machine: {fault}; change `mesh` in the machine "
        "file, where -1 takes what is left."
    )
