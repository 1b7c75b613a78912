"""The estimate follows from the chip's rates by the formulas that it states."""

import dataclasses

import pytest

from babeldraw.planning.collectives import Collective
from babeldraw.planning.roofline import collective_seconds, estimate
from babeldraw.planning.topologies import find_topology

V4 = find_topology("v4:8x8x8")
LINK = V4.chip.link_bandwidth


def collective(kind="all-gather", **settings):
    defaults = {
        "dtype": "bf16", "shape": (1000,), "bytes": 10**9, "axes": ("model",), "group_size": 4,
        "loop": "", "source": "", "overlapped": False, "count": 1, "times": 1,
    }  # fmt: skip
    return Collective(kind=kind, **(defaults | settings))


def test_rings():
    gather = collective_seconds(collective(), V4)
    assert gather == pytest.approx(1e9 * 3 / 4 / (2 * LINK))
    assert collective_seconds(collective("reduce-scatter"), V4) == gather
    assert collective_seconds(collective("all-reduce"), V4) == 2 * gather
    assert collective_seconds(collective("collective-permute"), V4) == pytest.approx(1e9 / LINK)


def test_a_group_longer_than_the_torus_uses_more_links():
    of_64 = collective_seconds(collective("all-reduce", group_size=64), V4)
    of_8 = collective_seconds(collective("all-reduce", group_size=8), V4)
    assert of_64 == pytest.approx(of_8 / 2 * (63 / 64) / (7 / 8))


def test_compute_and_memory_run_side_by_side_and_collectives_that_wait_do_not():
    chip = V4.chip
    gather = collective(times=2)
    shift = collective("collective-permute")
    line = estimate(512 * chip.peak_flops * 3, int(chip.hbm_bandwidth * 2), [gather, shift], V4)
    assert (line.compute, line.memory) == (pytest.approx(3), pytest.approx(2))
    assert line.overlapped == 0
    assert line.collectives == pytest.approx(
        2 * collective_seconds(gather, V4) + collective_seconds(shift, V4)
    )
    assert line.step_seconds == pytest.approx(3 + line.collectives)
    beside = dataclasses.replace(shift, overlapped=True)
    line = estimate(512 * chip.peak_flops * 3, int(chip.hbm_bandwidth * 2), [beside], V4)
    assert line.step_seconds == pytest.approx(3)


def test_a_slice_of_tpu7x_has_twice_the_devices_that_it_has_chips():
    slice_of = find_topology("tpu7x:4x4x4")
    line = estimate(64 * 2307e12, 0, [], slice_of)
    assert line.step_seconds == pytest.approx(1)
