"""A recipe on a machine, compiled and summed up."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
from jax.sharding import Mesh

from babeldraw.errors import UserError
from babeldraw.models import flops
from babeldraw.objectives.base import NotOffered, Objective
from babeldraw.parallel.mesh import make_mesh
from babeldraw.planning import roofline, traffic
from babeldraw.planning.collectives import Collective, find_collectives
from babeldraw.planning.hlo import Program
from babeldraw.planning.kept import CompiledProgram
from babeldraw.planning.programs import (
    GIB,
    GUIDANCE_WEIGHT,
    abstract_sampler,
    compile_sampling,
    compile_train_step,
    programs_are_quick,
)
from babeldraw.planning.topologies import Topology, topology_devices
from babeldraw.training.keeping.model_info import count_parameters
from babeldraw.training.machine import Machine
from babeldraw.training.state import Variable

Progress = Callable[[str], Any]
"""Told what begins and what has ended, in words for the terminal."""


@dataclasses.dataclass(frozen=True)
class SamplingPlan:
    """What drawing pictures takes.

    Attributes:
      pictures: drawn at a time by the whole slice.
      int8: whether by weights of one byte, see `models.int8`.
    """

    mesh: dict[str, int]
    pictures: int
    guidance_weight: float
    fits: bool
    peak_hbm_gib: float
    compile_seconds: float
    collectives: list[Collective]
    int8: bool = False


@dataclasses.dataclass(frozen=True)
class Plan:
    """What training takes; None for what is not known, with the reason in `notes`.

    Attributes:
      fits: both programs, where both were compiled.
      peak_hbm_gib: of the train step, on each chip; of one that does not fit, what it asks for.
      bubble_fraction: of the pipelined stack that has the most layers; 0 without a pipeline.
      bubble_fractions: of every pipelined stack.
      memory_gib: parts of the peak on each chip. Gradients count as activations: both live between
        the start of a step and its end.
      model_flops_per_step: by `flops.COUNTING_RULE`.
    """

    objective: str
    machine: Machine
    topology: Topology
    device_mesh: Mesh
    batch_size: int
    params: int
    params_without_embeddings: int
    train: CompiledProgram
    variables: list[Variable]
    peak_hbm_gib: float
    hbm_available_gib: float
    memory_gib: dict[str, float]
    bubble_fraction: float
    bubble_fractions: dict[str, float]
    collectives: list[Collective]
    hbm_bytes_per_step: int | None
    model_flops_per_step: int | None
    roofline: roofline.Roofline | None
    sampling: SamplingPlan | None
    notes: list[str]

    @property
    def mesh(self) -> dict[str, int]:
        """Mesh axis -> size."""
        return dict(self.device_mesh.shape)

    @property
    def fits(self) -> bool:
        """Whether every chip's memory holds what was compiled."""
        return self.train_fits and (self.sampling is None or self.sampling.fits)

    @property
    def train_fits(self) -> bool:
        """Whether every chip's memory holds the train step."""
        return not self.train.refused and self.peak_hbm_gib <= self.hbm_available_gib

    @property
    def estimated_step_seconds(self) -> float | None:
        """The roofline's."""
        return None if self.roofline is None else self.roofline.step_seconds

    @property
    def estimated_mfu(self) -> float | None:
        """Model operations a second over the slice's peak."""
        if self.estimated_step_seconds is None or self.model_flops_per_step is None:
            return None
        peak = self.topology.num_devices * self.topology.chip.peak_flops
        return self.model_flops_per_step / self.estimated_step_seconds / peak


def make_plan(
    objective: Objective,
    machine: Machine,
    batch_size: int,
    topology: Topology,
    *,
    with_sampling: bool = True,
    int8: bool = False,
    progress: Progress = lambda text: None,
) -> Plan:
    """Compiles the train step and, of an objective that draws pictures, the drawing.

    Args:
      int8: see `SamplingPlan`.

    Raises:
      UserError: the mesh, the batch or the model does not fit the slice.
    """
    mesh = _mesh(machine.mesh, topology_devices(topology), topology)
    progress(f"compiling the train step for {topology.num_chips} chips ...")
    train, variables = compile_train_step(objective, machine, batch_size, mesh)
    progress(_took(train))

    notes: list[str] = []
    if programs_are_quick():
        notes.append("compiled with the least optimisation (--quick): figures are approximate")
    sampling = None
    if with_sampling:
        try:
            sampling = plan_sampling(objective, machine.drawing_mesh, topology, progress, int8)
        except NotOffered as error:
            notes.append(f"{type(objective).__name__} {error.what}: no sampling program")

    program, collectives = _census(train, mesh, topology)
    if program is None:
        notes.append("the compiler refused the train step: what it sends is not known")
    elif not all(execution.certain for execution in program.executions):
        notes.append("a loop runs an unknown number of times; it is counted once")
    moved = None if program is None else traffic.hbm_bytes(program)
    counted = objective.flops()
    if counted is None:
        notes.append(f"no closed form counts the operations of {type(objective).__name__}")
    estimate = None
    if counted is not None and moved is not None:
        executed = counted.executed(batch_size, machine.execution)
        estimate = roofline.estimate(executed, moved, collectives, topology)
    bubbles = _bubbles(counted, machine)
    return Plan(
        objective=type(objective).__name__,
        machine=machine,
        topology=topology,
        device_mesh=mesh,
        batch_size=batch_size,
        params=count_parameters(variables),
        params_without_embeddings=sum(
            math.prod(v.shape)
            for v in variables
            if v.name.startswith("params/") and not flops.EMBEDDINGS.intersection(v.name.split("/"))
        ),
        train=train,
        variables=variables,
        peak_hbm_gib=train.peak_bytes / GIB,
        hbm_available_gib=_available(train, topology),
        memory_gib=_memory(train, variables),
        bubble_fraction=next(reversed(bubbles.values()), 0.0),
        bubble_fractions=bubbles,
        collectives=collectives,
        hbm_bytes_per_step=moved,
        model_flops_per_step=None if counted is None else counted.model(batch_size),
        roofline=estimate,
        sampling=sampling,
        notes=notes,
    )


def plan_sampling(
    objective: Objective,
    axes: Mapping[str, int],
    topology: Topology,
    progress: Progress,
    int8: bool = False,
) -> SamplingPlan:
    """Compiles the drawing of pictures; raises `NotOffered` where the objective draws none."""
    mesh = _mesh(axes, topology_devices(topology), topology)
    sampler = abstract_sampler(objective, mesh)
    if int8:
        sampler = sampler.as_int8()
    progress(f"compiling the sampling step for {topology.num_chips} chips ...")
    drawing = compile_sampling(sampler)
    progress(_took(drawing))
    return SamplingPlan(
        mesh=dict(mesh.shape),
        pictures=sampler.batch_size,
        guidance_weight=GUIDANCE_WEIGHT,
        fits=not drawing.refused and drawing.peak_bytes / GIB <= _available(drawing, topology),
        peak_hbm_gib=drawing.peak_bytes / GIB,
        compile_seconds=drawing.compile_seconds,
        collectives=_census(drawing, mesh, topology)[1],
        int8=int8,
    )


def _took(program: CompiledProgram) -> str:
    seconds = f"{program.compile_seconds:.0f} s"
    return f" known from an earlier plan, {seconds} then\n" if program.kept else f" {seconds}\n"


def _mesh(axes: Mapping[str, int], devices: list[jax.Device], topology: Topology) -> Mesh:
    try:
        return make_mesh(axes, devices)
    except UserError as error:
        raise UserError(f"on {topology.name}: {error}") from error


def _census(
    compiled: CompiledProgram, mesh: Mesh, topology: Topology
) -> tuple[Program | None, list[Collective]]:
    if compiled.refused:
        return None, []
    program = Program(compiled.text)
    within = {**mesh.shape, "data": mesh.shape["data"] // topology.num_slices}
    return program, find_collectives(program, within)


def _available(compiled: CompiledProgram, topology: Topology) -> float:
    if compiled.available_bytes is None:
        return topology.chip.hbm_available_gib
    return compiled.available_bytes / GIB


def _memory(train: CompiledProgram, variables: list[Variable]) -> dict[str, float]:
    def of(prefix: str) -> int:
        return sum(v.bytes_a_device for v in variables if v.name.startswith(prefix))

    weights, optimizer = of("params/"), of("optimizer_state/")
    return {
        "weights": weights / GIB,
        "optimizer_state": optimizer / GIB,
        "batch_and_frozen_networks": (train.argument_bytes - weights - optimizer) / GIB,
        "activations": (train.peak_bytes - train.argument_bytes) / GIB,
    }


def _bubbles(counted: flops.Flops | None, machine: Machine) -> dict[str, float]:
    """Of each pipelined stack; the one with the most layers last."""
    if machine.execution.pipeline is None or counted is None:
        return {}
    stacks = sorted(counted.stacks.items(), key=lambda item: item[1].layers)
    return {name: stack.bubble(machine.execution) for name, stack in stacks if stack.pipelined}
