"""A plan as text, and as JSON under stable keys."""

import dataclasses
import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from babeldraw.models import flops
from babeldraw.planning.collectives import Collective
from babeldraw.planning.plan import Plan
from babeldraw.planning.programs import GIB, programs_are_quick
from babeldraw.planning.search import seconds_text
from babeldraw.planning.topologies import Topology
from babeldraw.planning.trials import Trial
from babeldraw.training.keeping.model_info import model_info


def to_json(plan: Plan, trials: Sequence[Trial] | None = None) -> dict[str, Any]:
    """Every figure of a plan, and of the layouts tried beside it."""
    sampling = plan.sampling
    result: dict[str, Any] = {
        "objective": plan.objective,
        "machine": plan.machine.name,
        "topology": plan.topology.name,
        "chips": plan.topology.num_chips,
        "mesh": plan.mesh,
        "batch_size": plan.batch_size,
        "accumulate": plan.machine.accumulate,
        "params": plan.params,
        "params_without_embeddings": plan.params_without_embeddings,
        "fits": plan.fits,
        "train_fits": plan.train_fits,
        "peak_hbm_gib": plan.peak_hbm_gib,
        "hbm_available_gib": plan.hbm_available_gib,
        "memory_gib": plan.memory_gib,
        "bubble_fraction": plan.bubble_fraction,
        "bubble_fractions": plan.bubble_fractions,
        "collectives": [_collective(row) for row in plan.collectives],
        "model_flops_per_step": plan.model_flops_per_step,
        "counting_rule": flops.COUNTING_RULE,
        "hbm_bytes_per_step": plan.hbm_bytes_per_step,
        "estimated_step_seconds": plan.estimated_step_seconds,
        "estimated_mfu": plan.estimated_mfu,
        "estimated_seconds": plan.roofline and dataclasses.asdict(plan.roofline),
        "compile_seconds": plan.train.compile_seconds,
        "sampling": sampling
        and {
            **dataclasses.asdict(sampling),
            "collectives": [_collective(row) for row in sampling.collectives],
        },
        "variables": [
            {
                "name": v.name,
                "shape": v.shape,
                "dtype": str(v.dtype),
                "axes": v.axes,
                "partition": [v.sharding.spec[i] for i in range(len(v.sharding.spec))],
                "bytes_a_chip": v.bytes_a_device,
            }
            for v in plan.variables
        ],
        "notes": plan.notes,
        "quick": programs_are_quick(),
    }
    if trials is not None:
        result["tried"] = [dataclasses.asdict(trial) for trial in trials]
    return result


def dump(figures: Any) -> str:
    """JSON text."""
    return json.dumps(figures, indent=1, default=str) + "\n"


def _collective(row: Collective) -> dict[str, Any]:
    return {
        **dataclasses.asdict(row),
        "in_loop": row.in_loop,
        "total_bytes": row.total_bytes,
    }


def text_report(plan: Plan) -> str:
    """For people."""
    per_chip = plan.peak_hbm_gib
    free = plan.hbm_available_gib - per_chip
    lines = [
        f"{plan.objective} on {plan.topology.name} ({_chips(plan.topology)}, mesh "
        f"{_mesh(plan.mesh)}), batch {plan.batch_size:,}{_parts(plan)}",
        "",
        f"parameters           {plan.params:,} ({plan.params_without_embeddings:,} without "
        "embeddings and softmax)",
        f"memory of a chip     {per_chip:.2f} GiB of {plan.hbm_available_gib:.2f} at the peak: "
        + (f"fits, {free:.2f} free" if plan.train_fits else f"DOES NOT FIT, {-free:.2f} too much"),
        *(f"  {_label(name):18} {size:.2f} GiB" for name, size in plan.memory_gib.items()),
        f"bubble               {_bubbles(plan)}",
        f"model FLOPs a step   {_optional(plan.model_flops_per_step, '.4g')}",
        f"  counting rule      {flops.COUNTING_RULE}",
    ]
    if plan.roofline is not None:
        parts = plan.roofline
        lines += [
            f"step time            {seconds_text(parts.step_seconds)} (ESTIMATE from the chip's "
            "rates, not measured)",
            f"  compute {seconds_text(parts.compute)} | HBM {seconds_text(parts.memory)} | "
            f"overlapped links {seconds_text(parts.overlapped)} | + other links "
            f"{seconds_text(parts.collectives)}",
            f"MFU                  {_optional(plan.estimated_mfu, '.1%')} (ESTIMATE)",
        ]
    lines += [f"compiled in          {plan.train.compile_seconds:.0f} s", ""]
    lines += ["collectives of the train step", *_collectives_table(plan.collectives), ""]
    if plan.sampling is not None:
        drawing = plan.sampling
        verdict = "fits" if drawing.fits else "DOES NOT FIT"
        weights = ", int8 weights" if drawing.int8 else ""
        lines += [
            f"sampling             {drawing.pictures:,} pictures at a time (mesh "
            f"{_mesh(drawing.mesh)}, guidance {drawing.guidance_weight}{weights}): "
            f"{drawing.peak_hbm_gib:.2f} GiB of {plan.hbm_available_gib:.2f}, {verdict}; "
            f"compiled in {drawing.compile_seconds:.0f} s",
            "collectives of sampling",
            *_collectives_table(drawing.collectives),
            "",
        ]
    lines += [f"note: {note}" for note in plan.notes]
    info = model_info(plan.variables, plan.device_mesh)
    return "\n".join([*lines, info])


def advice(plan: Plan) -> str:
    """What may help a plan that does not fit."""
    if plan.train_fits:
        return (
            "sampling does not fit: set `sampling_mesh` in the machine file to a mesh with more "
            "`model`\n"
        )
    much = plan.peak_hbm_gib - plan.hbm_available_gib
    return (
        f"{much:.2f} GiB too much on each chip: --search finds a layout that fits, and "
        "`accumulate` in the machine file has the batch go in parts\n"
    )


def verdict(plan: Plan) -> str:
    """The last line: whether it fits, and by how much."""
    room = plan.hbm_available_gib
    peaks = [("training", plan.peak_hbm_gib)]
    if plan.sampling is not None:
        peaks.append(("sampling", plan.sampling.peak_hbm_gib))
    said = ", ".join(f"{name} takes {peak:.2f}" for name, peak in peaks)
    where = f"{plan.topology.name} with batch {plan.batch_size:,}"
    return (
        f"verdict: {'FITS' if plan.fits else 'DOES NOT FIT'} on {where}: of {room:.2f} GiB a chip, "
        f"{said}\n"
    )


def _parts(plan: Plan) -> str:
    parts = plan.machine.accumulate
    return f" in {parts} parts" if parts > 1 else ""


def _chips(topology: Topology) -> str:
    """Figures are of a device: of a chip where that is one."""
    chips = f"{topology.num_chips} chips"
    if topology.num_slices > 1:
        chips += f" in {topology.num_slices} slices"
    if topology.chip.devices == 1:
        return chips
    return f"{chips} of {topology.chip.devices} devices, each called a chip below"


def _mesh(sizes: dict[str, int]) -> str:
    return " x ".join(f"{axis} {size}" for axis, size in sizes.items())


def _label(name: str) -> str:
    return name.replace("_", " ")


def _optional(value: float | None, form: str) -> str:
    return "not known" if value is None else format(value, form)


def _bubbles(plan: Plan) -> str:
    if not plan.bubble_fractions:
        return "none (no pipeline)"
    return ", ".join(f"{name} {value:.1%}" for name, value in plan.bubble_fractions.items())


def _collectives_table(rows: list[Collective]) -> list[str]:
    """A line for each kind, dtype, mesh axes and place."""
    groups: dict[tuple[str, ...], list[Collective]] = defaultdict(list)
    for row in rows:
        axes = "?" if row.axes is None else "+".join(row.axes) or "one chip"
        groups[row.kind, row.dtype, axes, _place(row.loop)].append(row)
    if not groups:
        return ["  none"]
    lines = [
        f"  {'kind':18} {'dtype':6} {'over':12} {'arrays':>6} {'times':>7} {'GiB a step':>11}  in"
    ]
    sizes = {key: sum(row.total_bytes for row in members) for key, members in groups.items()}
    for key, members in sorted(groups.items(), key=lambda group: -sizes[group[0]]):
        kind, dtype, axes, place = key
        total = sizes[key] / GIB
        count, times = sum(row.count for row in members), sum(row.times for row in members)
        lines.append(f"  {kind:18} {dtype:6} {axes:12} {count:6} {times:7,} {total:11.4f}  {place}")
    return lines


def _place(loop: str) -> str:
    if not loop:
        return "outside loops"
    backward = "transpose(" in loop
    name = loop.replace("jit(step)/", "").split("/", 1)[-1]
    return f"loop {name}{' (backward)' if backward else ''}"
