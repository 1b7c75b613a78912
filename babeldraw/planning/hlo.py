"""Reads a compiled program's text: its computations, what they hold, and how often each runs."""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator

_BITS = {"pred": 8, "token": 0, "opaque": 0}  # all others end their name in their bits, or are f8*
_ARRAY = re.compile(r"\b(pred|token|opaque|[a-z]+\d+(?:e\d+m\d+\w*)?)\[([\d,]*)\](\{[^}]*\})?")
_NAMES = re.compile(r"%([\w.\-]+)")
_CALLED = re.compile(r"\b(?:calls|to_apply|body|async_execution_thread)=%([\w.\-]+)")
_INSTRUCTION = re.compile(r"\s+(?:ROOT )?%[\w.\-]+ = ")
_COMPUTATION_END = re.compile(r"\}(?:, execution_thread=.*)?")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}|(?:true|false)_computation=%([\w.\-]+)")


@dataclasses.dataclass(frozen=True)
class Array:
    """One array of an instruction's result.

    Attributes:
      space: 0 for HBM; others are on-chip memories.
    """

    dtype: str
    shape: tuple[int, ...]
    space: int = 0

    @property
    def bytes(self) -> int:
        """Of the array, without padding."""
        return math.prod(self.shape) * bits(self.dtype) // 8


@dataclasses.dataclass(frozen=True)
class Instruction:
    """`name = results opcode(operands), attributes`."""

    name: str
    opcode: str
    results: tuple[Array, ...]
    operands: tuple[str, ...]
    arguments: str
    attributes: str
    is_root: bool

    @property
    def op_name(self) -> str:
        """Where in the model it comes from, such as `jit(step)/decoder/while/body/dot_general`."""
        found = re.search(r'op_name="([^"]*)"', self.attributes)
        return found[1] if found else ""

    @property
    def called(self) -> tuple[str, ...]:
        """Computations that it runs once each time, a loop's condition left out."""
        names = [match[1] for match in _CALLED.finditer(self.attributes)]
        for several, one in _BRANCHES.findall(self.attributes):
            names += _NAMES.findall(several) or [one]
        return tuple(names)


CALLS = ("call", "call-start", "conditional", "async-start")
"""What runs other computations once: those of `call-start` on another core, tpu7x's SparseCore."""


@dataclasses.dataclass(frozen=True)
class Execution:
    """A computation as the program runs it.

    Attributes:
      times: how often in one run of the program.
      loop: what the innermost loop around it is called, "" outside all loops.
      certain: whether `times` is known; a loop without a known count is counted once.
      beside: whether another core runs it, while the program goes on.
      follows: whether the loop's first turn stands before it.
    """

    computation: str
    times: int
    loop: str
    certain: bool
    beside: bool = False
    follows: bool = False


class Program:
    """A program's computations by name."""

    def __init__(self, text: str) -> None:
        bodies: dict[str, list[str]] = {}
        body: list[str] | None = None
        self.entry = ""
        for line in text.splitlines():
            if body is None:
                if line.startswith(("%", "ENTRY ")):
                    name = _NAMES.search(line)
                    assert name is not None, line
                    body = bodies[name[1]] = []
                    if line.startswith("ENTRY "):
                        self.entry = name[1]
            elif _COMPUTATION_END.fullmatch(line):
                body = None
            elif _INSTRUCTION.match(line):
                body.append(line)
            elif body:  # a kernel's attributes span lines, which may begin with a brace
                body[-1] += line
        assert self.entry, "no ENTRY computation: this is no HLO module"
        self.computations: dict[str, dict[str, Instruction]] = {
            name: {instruction.name: instruction for instruction in map(_parse, lines)}
            for name, lines in bodies.items()
        }

    def root(self, computation: str) -> Instruction:
        """The instruction that gives a computation's result."""
        return next(i for i in self.computations[computation].values() if i.is_root)

    @functools.cached_property
    def executions(self) -> tuple[Execution, ...]:
        """Every computation that instructions call (inside of fusions not), as often as called."""
        return tuple(self._walk(Execution(self.entry, 1, "", True)))

    def _walk(self, execution: Execution) -> Iterator[Execution]:
        yield execution
        for instruction in self.computations[execution.computation].values():
            if instruction.opcode == "while":
                trips = self.trip_count(instruction)
                loop = self._name(instruction)
                inside = dataclasses.replace(
                    execution,
                    times=execution.times * (trips or 1),
                    loop=loop,
                    certain=execution.certain and trips is not None,
                    follows=self._first(instruction) > 0,
                )
            elif instruction.opcode in CALLS:
                beside = execution.beside or instruction.opcode == "call-start"
                inside = dataclasses.replace(execution, beside=beside)
            else:
                continue
            for name in instruction.called:
                yield from self._walk(dataclasses.replace(inside, computation=name))

    def trip_count(self, loop: Instruction) -> int | None:
        """How often a `while` runs its body, where the text tells: it counts up to a constant."""
        known = re.search(r'known_trip_count"?:\{"?n"?:"?(\d+)', loop.attributes)
        if known:
            return int(known[1])
        condition = _condition(loop)
        if condition is None:
            return None
        limits = set()
        for instruction in self._inside(condition):
            if instruction.opcode == "constant" and instruction.results[0].dtype in ("s32", "u32"):
                limits.add(instruction.arguments)
            if instruction.opcode == "compare" and "direction=LT" not in instruction.attributes:
                return None
        return int(limits.pop()) - self._first(loop) if len(limits) == 1 else None

    def _first(self, loop: Instruction) -> int:
        """What a loop counts from: 0 where the text does not tell, 1 with a turn before it."""
        inside = self._inside(_condition(loop) or "")
        read = {i.attributes for i in inside if i.opcode == "get-tuple-element"}
        counters = {found[1] for text in read if (found := re.search(r"index=(\d+)", text))}
        if len(counters) != 1:
            return 0
        carried = self._named.get(loop.operands[0])
        while carried is not None and carried.opcode in ("tuple", "copy", "bitcast"):
            place = int(*counters) if carried.opcode == "tuple" else 0
            carried = self._named.get(carried.operands[place])
        if carried is None or carried.opcode != "constant":
            return 0
        return int(carried.arguments)

    @functools.cached_property
    def _named(self) -> dict[str, Instruction]:
        """Every instruction: their names are a program's own."""
        return {name: i for body in self.computations.values() for name, i in body.items()}

    def _name(self, loop: Instruction) -> str:
        """Where in the model a loop comes from; of one that was changed, its condition tells."""
        condition = _condition(loop)
        places = [loop.op_name, *(i.op_name for i in self._inside(condition or ""))]
        place = next(filter(None, places), loop.name)
        return re.sub(r"/while(/cond(/\w+)?)?$", "", place)

    def _inside(self, computation: str) -> Iterator[Instruction]:
        for instruction in self.computations.get(computation, {}).values():
            yield instruction
            for name in instruction.called:
                yield from self._inside(name)


def _condition(loop: Instruction) -> str | None:
    found = re.search(r"condition=%([\w.\-]+)", loop.attributes)
    return found[1] if found else None


def bits(dtype: str) -> int:
    """Size of one element."""
    if dtype in _BITS:
        return _BITS[dtype]
    found = re.match(r"[a-z]+(\d+)", dtype)
    assert found is not None, dtype
    return int(found[1])


def parse_arrays(text: str) -> tuple[Array, ...]:
    """The arrays of a result's type, a tuple's one after another."""
    arrays = []
    for dtype, shape, layout in _ARRAY.findall(text):
        space = re.search(r"S\((\d+)\)", layout)
        sizes = tuple(int(size) for size in shape.split(",") if size)
        arrays.append(Array(dtype, sizes, int(space[1]) if space else 0))
    return tuple(arrays)


def _parse(line: str) -> Instruction:
    left, _, right = line.strip().partition(" = ")
    end = _closing(right) + 1 if right.startswith("(") else right.index(" ")
    type_text, rest = right[:end], right[end:].lstrip()
    opcode, _, _ = rest.partition("(")
    start = len(opcode)
    close = start + _closing(rest[start:])
    arguments, attributes = rest[start + 1 : close], rest[close + 1 :]
    return Instruction(
        name=left.removeprefix("ROOT ").removeprefix("%"),
        opcode=opcode,
        results=parse_arrays(type_text),
        operands=tuple(_NAMES.findall(arguments)) if "%" in arguments else (),
        arguments=arguments,
        attributes=attributes,
        is_root=left.startswith("ROOT "),
    )


def _closing(text: str) -> int:
    """Index of the parenthesis that closes the first character."""
    depth = 0
    for match in re.finditer(r"[()]", text):
        depth += 1 if match[0] == "(" else -1
        if depth == 0:
            return match.start()
    raise ValueError(f"no closing parenthesis in {text[:80]!r}")
