"""Suggestions are tried, and the fastest that fits is recommended."""

import dataclasses
from types import SimpleNamespace

from babeldraw.errors import UserError
from babeldraw.planning import suggest
from babeldraw.planning.topologies import find_topology
from babeldraw.training.machine import Machine

PIPELINED = Machine(mesh={"data": 4, "stage": 4, "model": 1}, num_microbatches=8, remat="dots")


def plan(machine, fits, peak, seconds):
    return SimpleNamespace(
        machine=machine,
        mesh=dict(machine.mesh),
        batch_size=64,
        topology=find_topology("v5e:4x4"),
        train_fits=fits,
        peak_hbm_gib=peak,
        hbm_available_gib=15.75,
        estimated_step_seconds=seconds,
    )


def planner(objective, machine, batch_size, topology, *, with_sampling, progress):
    """More microbatches take less memory and more time; FSDP cannot be built."""
    assert not with_sampling
    if machine.fsdp:
        raise UserError("does not divide")
    peak = 160 / machine.num_microbatches * (0.5 if machine.remat == "full" else 1)
    return plan(machine, peak < 15.75, peak, machine.num_microbatches + 0.5)


def trials():
    return suggest.try_settings(None, plan(PIPELINED, False, 20, None), planner=planner)


def test_the_given_settings_come_first_and_all_ideas_are_tried():
    tried = trials()
    assert tried[0].name == "as given"
    assert not tried[0].fits
    names = [trial.name for trial in tried]
    assert "num_microbatches = 16" in names
    assert "remat = 'full'" in names
    assert any("'stage': 8" in name for name in names)


def test_the_fastest_that_fits_is_recommended():
    (best,) = [trial for trial in trials() if trial.recommended]
    assert best.changes == {"remat": "full"}  # 8 microbatches, 10 GiB
    table = suggest.table(trials())
    (line,) = [line for line in table.splitlines() if "recommended" in line]
    assert line.startswith("remat = 'full'")
    assert "8.500 s  fits" in line
    assert suggest.seconds_text(0.0123456) == "12.346 ms"


def test_settings_that_cannot_be_built_are_told():
    refused = [trial for trial in trials() if trial.refused]
    assert {trial.refused for trial in refused} == {"does not divide"}
    assert "does not divide" in suggest.table(trials())


def test_nothing_is_recommended_where_nothing_fits():
    def never(objective, machine, *args, **kwargs):
        return plan(machine, False, 99.0, None)

    tried = suggest.try_settings(None, plan(PIPELINED, False, 99.0, None), planner=never)
    assert not any(trial.recommended for trial in tried)
    assert "a larger slice, or a smaller BATCH_SIZE" in suggest.table(tried)


def test_advice_names_nothing_that_keeps_more_for_the_backward_pass():
    for remat, better in (("dots", ["attention", "full"]), ("full", [])):
        machine = dataclasses.replace(PIPELINED, remat=remat, fsdp=True)
        lines = suggest.advice(plan(machine, False, 20.0, None)).splitlines()
        assert "4.25 GiB too much" in lines[0]
        named = [line.strip() for line in lines if "remat" in line]
        assert named == [f"remat = {name!r}" for name in better]
        assert "  num_microbatches = 16" in lines


def test_every_candidate_is_a_machine():
    flat = dataclasses.replace(PIPELINED, mesh={"data": 16, "stage": 1, "model": 1}, remat="none")
    for machine in (PIPELINED, flat):
        changes = list(suggest.candidates(machine, dict(machine.mesh)))
        assert changes
        for change in changes:
            dataclasses.replace(machine, **change)
