"""What a compiled program sends between chips: a census of its collectives."""

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Int

from babeldraw.planning.hlo import Array, Execution, Instruction, Program

KINDS = ("all-reduce", "reduce-scatter", "all-gather", "all-to-all", "collective-permute")

SLICES = "slices"
"""In place of a mesh axis: what goes between slices, through their hosts."""


@dataclasses.dataclass(frozen=True)
class Collective:
    """Arrays of one shape that collectives of one kind move for one part of the model.

    Attributes:
      kind: one of `KINDS`.
      dtype, shape: of the array on one chip, before a reduce-scatter and after an all-gather: the
        larger side.
      bytes: of that array.
      axes: mesh axes over which it goes, or `SLICES`; None where the text does not tell.
      group_size: chips that take part together.
      loop: the loop that it stands in, "" outside all loops.
      source: the operation in the model that it comes from.
      count: such collectives in the program's text.
      times: how often they run in one run of the program, all together.
      overlapped: whether it is started and awaited apart, with computation between.
    """

    kind: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    axes: tuple[str, ...] | None
    group_size: int
    loop: str
    source: str
    overlapped: bool
    count: int
    times: int

    @property
    def in_loop(self) -> bool:
        """Whether it stands inside a loop."""
        return bool(self.loop)

    @property
    def total_bytes(self) -> int:
        """Bytes in one run of the program."""
        return self.bytes * self.times


def find_collectives(program: Program, mesh: Mapping[str, int]) -> list[Collective]:
    """All collectives of a program, equal ones counted together, the most bytes first.

    Args:
      mesh: axis -> size within a slice, in the order in which the program numbers its devices.
    """
    counts: Counter[Collective] = Counter()
    times: Counter[Collective] = Counter()
    pieces: dict[str, tuple[Execution, list[Collective]]] = {}
    for execution in program.executions:
        for row in _between_slices(program.computations[execution.computation], execution):
            counts[row] += 1
            times[row] += execution.times
        for instruction, is_scatter, source in _collectives_of(program, execution.computation):
            found = _describe(instruction, is_scatter, source, execution, mesh)
            channel = _split_channel(instruction)
            if channel and execution.follows:  # the same was begun and ended in the turn before
                channel = f"{channel} of {execution.loop}"
            if channel is None:
                counts.update(found)
                for row in found:
                    times[row] += execution.times
            elif channel not in pieces or execution.times < pieces[channel][0].times:
                pieces[channel] = execution, found  # begun here, and carried on in deeper loops
    for execution, found in pieces.values():
        for row in found:
            row = dataclasses.replace(row, overlapped=True)
            counts[row] += 1
            times[row] += execution.times
    rows = [
        dataclasses.replace(found, count=count, times=times[found])
        for found, count in counts.items()
    ]
    return sorted(rows, key=lambda row: -row.total_bytes)


def _collectives_of(program: Program, computation: str) -> Iterator[tuple[Instruction, bool, str]]:
    """Collectives of a computation, those in fusions included: (it, is a scatter, its source).

    TPUs write a reduce-scatter as a fusion of an all-reduce and a slice of its result.
    """
    for instruction in program.computations[computation].values():
        if _kind(instruction) is not None:
            yield instruction, False, instruction.op_name
        elif instruction.opcode == "fusion":
            for name in instruction.called:
                root = program.root(name)
                for inner, is_scatter, source in _collectives_of(program, name):
                    sliced = root.opcode == "dynamic-slice" and root.operands[0] == inner.name
                    yield inner, is_scatter or sliced, source or instruction.op_name


def _between_slices(
    computation: Mapping[str, Instruction], execution: Execution
) -> Iterator[Collective]:
    """What a computation sends to other slices, through the runtime (MegaScale) on their hosts.

    Each is a `send` of a device's part and a `recv` of what comes of it.
    """
    order = list(computation.values())
    for index, instruction in enumerate(order):
        found = re.search(r'_xla_megascale_transfer_type="(\w+)"', instruction.attributes)
        if found is None:
            continue
        kind = found[1].lower().replace("_", "-")
        if instruction.opcode != ("send" if kind == "reduce-scatter" else "recv"):  # the larger
            continue
        target = re.search(r'_xla_megascale_target="\{([\d,]+)\}', instruction.attributes)
        array = instruction.results[0]
        rest = order[index + 1 :]
        awaited = next((n for n, i in enumerate(rest) if instruction.name in i.operands), len(rest))
        yield Collective(
            kind=kind,
            dtype=array.dtype,
            shape=array.shape,
            bytes=array.bytes,
            axes=(SLICES,),
            group_size=len(_ints(target[1])) if target else 0,
            loop=execution.loop,
            source=_short(instruction.op_name),
            overlapped=execution.beside or any(i.opcode in _WORK for i in rest[:awaited]),
            count=0,
            times=0,
        )


_WORK = ("fusion", "convolution", "dot", "while", "custom-call")
"""What keeps a device busy while it waits for something that it has sent."""


def _split_channel(instruction: Instruction) -> str | None:
    """What the pieces of a collective that the compiler has spread over computations share.

    v5e programs begin a collective in one fusion and carry it on inside others, each of which
    holds the whole instruction again.
    """
    if "async_collective_fusion_config" not in instruction.attributes:
        return None
    channel = re.search(r"channel_id=(\d+)", instruction.attributes)
    return channel[1] if channel else None


def _kind(instruction: Instruction) -> str | None:
    name = instruction.opcode.removesuffix("-start")
    return name if name in KINDS else None  # "-done" is the end of one that was counted


def _describe(
    instruction: Instruction,
    is_scatter: bool,
    source: str,
    execution: Execution,
    mesh: Mapping[str, int],
) -> list[Collective]:
    kind = _kind(instruction)
    assert kind is not None
    in_parts = instruction.opcode.endswith("-start")
    arrays: Sequence[Array] = [array for array in instruction.results if array.shape]
    if in_parts and kind in ("all-gather", "collective-permute"):
        arrays = arrays[len(arrays) // 2 :]  # (inputs, outputs, ...)
    groups = device_groups(instruction.attributes, math.prod(mesh.values()))
    group_size = 0 if groups is None else len(groups[0])
    if kind == "reduce-scatter":
        arrays = [dataclasses.replace(array, shape=(group_size, *array.shape)) for array in arrays]
    return [
        Collective(
            kind="reduce-scatter" if is_scatter else kind,
            dtype=array.dtype,
            shape=array.shape,
            bytes=array.bytes,
            axes=None if groups is None else _axes(groups, mesh),
            group_size=group_size,
            loop=execution.loop,
            source=_short(source),
            overlapped=in_parts or execution.beside,
            count=0,
            times=0,
        )
        for array in arrays
    ]


def device_groups(attributes: str, num_devices: int) -> Int[np.ndarray, "groups size"] | None:
    """Devices that take part together; None where they are not understood.

    Of a collective-permute, the pairs (source, target). The text has one of four forms:
    `{{0,1},{2,3}}`, `[2,4]<=[4,2]T(1,0)`, `mesh['a'=2,'b'=4], device_ids=([4,2]T(1,0)) {'b'}` (the
    middle part where the ids are not in order), and nothing for all devices.
    """
    named = re.search(
        r"replica_groups=mesh\[([^\]]*)\](?:, device_ids=\(\[([\d,]+)\]T\(([\d,]+)\)\))?\s*"
        r"\{([^}]*)\}",
        attributes,
    )
    if named:
        sizes = {name: int(size) for name, size in re.findall(r"'(\w+)'=(\d+)", named[1])}
        chosen = re.findall(r"'(\w+)'", named[4])
        order = [name for name in sizes if name not in chosen] + chosen
        ids: np.ndarray = np.arange(math.prod(sizes.values()))
        if named[2]:
            ids = ids.reshape(_ints(named[2])).transpose(_ints(named[3]))
        ids = ids.reshape(tuple(sizes.values()))
        ids = ids.transpose([list(sizes).index(name) for name in order])
        return ids.reshape(-1, math.prod(sizes[name] for name in chosen))
    iota = re.search(r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?", attributes)
    if iota:
        shape, source = _ints(iota[1]), _ints(iota[2])
        ids = np.arange(math.prod(source)).reshape(source)
        return ids.transpose(_ints(iota[3]) if iota[3] else None).reshape(shape)
    listed = re.search(r"(?:replica_groups|source_target_pairs)=\{(\{[\d,{}]*\})?\}", attributes)
    if listed is None:
        return None
    rows = [_ints(row) for row in re.findall(r"\{([\d,]+)\}", listed[1] or "")]
    if not rows:
        return np.arange(num_devices)[None]
    return np.array(rows) if len({len(row) for row in rows}) == 1 else None


def _axes(groups: np.ndarray, mesh: Mapping[str, int]) -> tuple[str, ...]:
    """The mesh axes along which the devices of a group differ."""
    places = np.stack(np.unravel_index(groups, tuple(mesh.values())))  # [axis, group, member]
    differ = (places != places[:, :, :1]).any(axis=(1, 2))
    return tuple(name for name, differs in zip(mesh, differ, strict=True) if differs)


def _ints(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def _short(source: str) -> str:
    """`decoder/layer/mlp/wo/dot_general` of a whole path: what transformations add goes."""
    kept = [
        part
        for part in re.sub(r"\b(?:jit|jvp|transpose|vmap)\(|[()]", "", source).split("/")
        if part and part not in ("while", "body", "closed_call", "checkpoint", "step")
    ]
    return "/".join(kept)
