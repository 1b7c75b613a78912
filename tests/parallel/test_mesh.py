import re

import jax
import numpy as np
import pytest
from jax.sharding import AxisType

from babeldraw.errors import UserError
from babeldraw.parallel.mesh import AXES, make_mesh


def test_minus_one_takes_the_devices_that_are_left():
    assert dict(make_mesh({"data": -1, "model": 2}).shape) == {"data": 4, "stage": 1, "model": 2}
    assert dict(make_mesh({}, jax.devices()[:1]).shape) == {"data": 1, "stage": 1, "model": 1}


class OfSlice:
    """A TPU as libtpu describes it; four of a slice stand in a row."""

    platform, device_kind, num_cores, core_on_chip = "tpu", "TPU v5 lite", 1, 0

    def __init__(self, number):
        self.id, self.process_index, self.slice_index = number, number // 4, number // 4
        self.coords = (number % 2, number % 4 // 2, 0)


def test_each_of_several_slices_is_a_block_of_data():
    devices = [OfSlice(number) for number in range(8)]
    for axes in ({"data": 2, "model": 4}, {"data": -1, "model": 2}, {"data": 8}):
        grid = make_mesh(axes, devices).devices
        of_slice = [{device.slice_index for device in block.flat} for block in np.split(grid, 2)]
        assert of_slice == [{0}, {1}], axes
    with pytest.raises(UserError, match="'data' of 1 does not divide over 2 slices: make it a mul"):
        make_mesh({"model": 8}, devices)


def test_axes_are_auto():
    mesh = make_mesh({"data": -1})
    assert mesh.axis_names == AXES
    assert set(mesh.axis_types) == {AxisType.Auto}


@pytest.mark.parametrize(
    ("axes", "sentence"),
    [
        ({"data": 3}, "data 3 x stage 1 x model 1 does not fit this machine: that is 3 devices"),
        ({"data": 3}, "there are 8;"),
        ({"data": -1, "model": 3}, "8 devices do not divide by 3"),
        ({"data": -1, "model": 16}, "8 devices do not divide by 16"),
        ({"data": -1, "model": -1}, "at most one is -1"),
        ({"data": 0}, "sizes are positive"),
        ({"batch": 8}, "axis 'batch' is unknown: .* from data, stage, model"),
    ],
)
def test_a_wrong_mesh_gives_the_arithmetic(axes, sentence):
    with pytest.raises(UserError, match=sentence):
        make_mesh(axes)


def test_errors_are_one_sentence():
    with pytest.raises(UserError) as raised:
        make_mesh({"data": 3})
    assert not re.search(r"\.\s+[A-Z]", str(raised.value))
