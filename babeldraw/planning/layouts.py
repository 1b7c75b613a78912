"""The layouts that a recipe may have on a slice: every setting that moves work between chips."""

import dataclasses
import math
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from babeldraw.errors import UserError
from babeldraw.models.flops import Flops
from babeldraw.parallel.schedule import Pipeline
from babeldraw.training.machine import Machine

_MICROBATCHES = (1, 2, 4, 8)
"""Times the stages: a longer queue leaves hardly a bubble, and gives ever smaller products."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """Fields of a `Machine`.

    Attributes:
      data, stage, model: sizes of the mesh axes.
      fsdp: a `parallel.rules.Fsdp`.
    """

    data: int
    stage: int
    model: int
    fsdp: Any
    remat: str
    attention: str
    num_microbatches: int = 1
    circular_repeats: int = 0

    @property
    def mesh(self) -> dict[str, int]:
        """Mesh axis -> size."""
        return {"data": self.data, "stage": self.stage, "model": self.model}

    @property
    def settings(self) -> dict[str, Any]:
        """Fields of a machine file, those that keep their default left out."""
        chosen: dict[str, Any] = {"mesh": self.mesh}
        for field in dataclasses.fields(self):
            if field.name in self.mesh:
                continue
            value = getattr(self, field.name)
            if field.name == "remat" or value != _DEFAULTS[field.name]:
                chosen[field.name] = value
        return chosen

    @property
    def name(self) -> str:
        """In words, `128 x 4 x 1 (data x stage x model)` as the first of them."""
        words = [f"{self.data} x {self.stage} x {self.model}"]
        if self.stage > 1:
            rounds = self.circular_repeats or "all"
            words.append(f"{self.num_microbatches} microbatches, {rounds} rounds")
        if self.fsdp:
            words.append("fsdp" if self.fsdp is True else f"{self.fsdp} fsdp")
        return ", ".join([*words, f"remat {self.remat}", self.attention])

    def on(self, machine: Machine) -> Machine:
        """The machine with this layout. Rounds and microbatches are the layout's own."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        own = {name: value for name, value in fields.items() if name not in self.mesh}
        return dataclasses.replace(machine, mesh=self.mesh, **own)


_DEFAULTS = {field.name: field.default for field in dataclasses.fields(Machine)}
_TYPES = typing.get_type_hints(Machine)


def values(field: str) -> tuple[Any, ...]:
    """What a machine file may set a field to, where its type lists it."""
    return tuple(dict.fromkeys(_listed(_TYPES[field])))


def _listed(kind: Any) -> Iterator[Any]:
    if kind is bool:
        yield from (False, True)
    elif get_origin(kind) is Literal:
        yield from get_args(kind)
    elif get_origin(kind) in (typing.Union, types.UnionType):
        for part in get_args(kind):
            yield from _listed(part)


def layouts(
    num_devices: int, batch_size: int, counted: Flops | None, num_slices: int = 1
) -> list[Layout]:
    """Every layout whose sizes divide, nothing else looked at.

    Args:
      num_devices: of all slices.
      counted: of the objective; without it no stack is known to be pipelined.
    """
    found = []
    for mesh in _meshes(num_devices):
        if mesh["data"] % num_slices or batch_size % (mesh["data"] * mesh["stage"]):
            continue
        for queue in _queues(mesh, batch_size, counted):
            found += [
                Layout(**mesh, fsdp=fsdp, remat=remat, attention=attention, **queue)
                for fsdp in _sharded(mesh, batch_size)
                for remat in values("remat")
                for attention in values("attention")
            ]
    return found


def _sharded(mesh: Mapping[str, int], batch_size: int) -> Iterator[Any]:
    """How a mesh may split weights over devices with other examples."""
    yield False
    if mesh["data"] > 1:
        yield True
        # With one copy it would be the FSDP of a mesh of `data` alone.
        if mesh["model"] > 1 and mesh["stage"] == 1 and batch_size % math.prod(mesh.values()) == 0:
            yield "hybrid"


def _meshes(num_devices: int) -> Iterator[dict[str, int]]:
    for model in _divisors(num_devices):
        for stage in _divisors(num_devices // model):
            yield {"data": num_devices // model // stage, "stage": stage, "model": model}


def _queues(
    mesh: Mapping[str, int], batch_size: int, counted: Flops | None
) -> Iterator[dict[str, int]]:
    """Microbatches and rounds that a mesh allows; an empty one where there is no pipeline."""
    stages = mesh["stage"]
    if stages == 1:
        yield {}
        return
    depths = (
        [stack.layers for stack in counted.stacks.values() if stack.pipelined] if counted else []
    )
    if not depths or any(depth % stages for depth in depths):
        return
    deepest = max(depths) // stages
    for repeats in (0, *_divisors(deepest)[:-1]):  # 0: every stack as many as it has
        for times in _MICROBATCHES:
            number = stages * times
            if batch_size % number or (batch_size // number) % mesh["data"]:
                continue
            pipeline = Pipeline(stages, number, repeats or None)
            try:
                rounds = [pipeline.rounds(depth) for depth in depths]
            except UserError:
                continue
            if repeats == 0 or max(rounds) < deepest:
                yield {"num_microbatches": number, "circular_repeats": repeats}


def _divisors(number: int) -> list[int]:
    small = [part for part in range(1, math.isqrt(number) + 1) if number % part == 0]
    return sorted({*small, *(number // part for part in small)})
