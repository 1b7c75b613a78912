"""Arithmetic on layouts: what it lists, and that it asks for no more than the compiler does."""

import dataclasses
import math
from typing import get_args

import pytest

from babeldraw.errors import UserError
from babeldraw.parallel.execution import AttentionPath, Remat
from babeldraw.planning.layouts import layouts, values
from babeldraw.planning.plan import make_plan
from babeldraw.planning.reckoning import Reckoner
from babeldraw.planning.topologies import find_topology
from babeldraw.training.machine import Machine
from tests.objectives import tiny_runs

OBJECTIVE = tiny_runs.text_to_image(encoder_layers=2, decoder_layers=4, codebook_size=16)
SLICE = find_topology("v5e:2x4")
EVERY = layouts(8, 16, OBJECTIVE.flops())


@pytest.fixture(scope="module")
def reckoner():
    return Reckoner(OBJECTIVE, 16)


def test_settings_are_those_that_their_types_list():
    assert values("attention") == get_args(AttentionPath)
    assert values("remat") == get_args(Remat)
    assert values("fsdp")[:2] == (False, True)


def test_every_layout_is_a_machine_of_the_slice():
    assert len(set(EVERY)) == len(EVERY)
    for layout in EVERY:
        machine = layout.on(Machine(num_microbatches=3, circular_repeats=5))
        assert math.prod(machine.mesh.values()) == 8
        pipeline = machine.execution.pipeline
        if pipeline is not None:
            assert [2 % layout.stage, 4 % layout.stage] == [0, 0]
            assert pipeline.rounds(4) >= pipeline.rounds(2)
            assert 16 // pipeline.num_microbatches % layout.data == 0


def test_all_dimensions_are_gone_through():
    assert {layout.model for layout in EVERY} == {1, 2, 4, 8}
    assert {layout.stage for layout in EVERY} == {1, 2}
    assert {layout.num_microbatches for layout in EVERY if layout.stage == 2} == {2, 4, 8, 16}
    assert {layout.circular_repeats for layout in EVERY} == {0, 1}
    for field in ("remat", "attention", "fsdp"):
        assert {getattr(layout, field) for layout in EVERY} == set(values(field))


def plain(**settings):
    layout = next(each for each in EVERY if each.data == 8 and not each.fsdp)
    return dataclasses.replace(layout, **({"remat": "full"} | settings))


def test_state_is_split_as_the_rules_say(reckoner):
    whole = reckoner.reckon(plain(), SLICE)
    sharded = reckoner.reckon(plain(fsdp=True), SLICE)
    joined = reckoner.reckon(plain(data=4, model=2), SLICE)
    assert sharded.gib < joined.gib < whole.gib
    assert joined.links > whole.links
    assert reckoner.reckon(plain(data=1, model=8), SLICE) is None  # two heads


def test_hybrid_fsdp_is_that_of_a_copys_devices(reckoner):
    copies, hybrid, sharded = (
        reckoner.reckon(plain(**settings), SLICE)
        for settings in ({}, {"data": 2, "model": 4, "fsdp": "hybrid"}, {"fsdp": True})
    )
    assert sharded.gib < hybrid.gib < copies.gib
    assert sharded.compute == hybrid.compute


def test_of_several_slices_gradients_alone_go_between_them():
    two = find_topology("2xv5e:2x2")
    every = layouts(8, 16, OBJECTIVE.flops(), num_slices=2)
    assert {layout.data for layout in every} == {2, 4, 8}
    assert set(every) < set(EVERY)
    reckoner = Reckoner(OBJECTIVE, 16, 2)
    rows = {
        name: reckoner.reckon(plain(**settings), two)
        for name, settings in {
            "hybrid": {"data": 2, "model": 4, "fsdp": "hybrid"},
            "fsdp": {"data": 8, "fsdp": True},
            "copies": {"data": 8},
        }.items()
    }
    # Two gathers in half the bytes and a ReduceScatter are as many bytes as an AllReduce.
    assert rows["fsdp"].links == pytest.approx(rows["hybrid"].links)
    assert rows["copies"].links == pytest.approx(rows["hybrid"].links)
    assert rows["copies"].links > 5 * reckoner.reckon(plain(), SLICE).links
    # Gathers may come once for each part of the batch.
    assert rows["copies"].expected_links < rows["hybrid"].expected_links
    assert rows["hybrid"].expected_links < rows["fsdp"].expected_links


def test_keeping_more_takes_memory_and_saves_operations(reckoner):
    alike = [dataclasses.replace(plain(), remat=remat) for remat in values("remat")]
    rows = [reckoner.reckon(layout, SLICE) for layout in alike]
    assert [row.gib for row in rows] == sorted((row.gib for row in rows), reverse=True)
    assert [row.compute for row in rows] == sorted(row.compute for row in rows)


def test_parts_keep_less_and_may_gather_weights_each(reckoner):
    layout = plain(fsdp=True, remat="none")
    whole, parted = (each.reckon(layout, SLICE) for each in (reckoner, Reckoner(OBJECTIVE, 16, 2)))
    state = reckoner.reckon(plain(fsdp=True), SLICE).gib
    assert state < parted.gib < whole.gib
    assert (parted.compute, parted.links) == (whole.compute, whole.links)
    assert parted.expected_links > whole.expected_links
    with pytest.raises(UserError, match="16 does not divide into 3 parts: change `accumulate`"):
        Reckoner(OBJECTIVE, 16, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"remat": "dots"},
        {"fsdp": True},
        {"data": 4, "model": 2},
        {"data": 2, "model": 4, "fsdp": "hybrid"},
        {"data": 4, "stage": 2, "num_microbatches": 2},
    ],
    ids=str,
)
def test_the_compiler_takes_no_less(reckoner, settings):
    layout = plain(**settings)
    least = reckoner.reckon(layout, SLICE)
    plan = make_plan(OBJECTIVE, layout.on(Machine()), 16, SLICE, with_sampling=False)
    assert least.gib <= plan.peak_hbm_gib
    assert least.least_seconds <= plan.estimated_step_seconds
