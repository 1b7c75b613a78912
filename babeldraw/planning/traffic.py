"""Bytes that a compiled program moves between a chip's cores and its memory (HBM)."""

from collections.abc import Iterable

from babeldraw.planning.hlo import Array, Instruction, Program

# Instructions that name or forward arrays and move none; loops and calls are walked into.
_FREE = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "domain"),
    *("while", "conditional", "call", "opt-barrier", "partition-id", "replica-id", "iota"),
    *(
        "add-dependency",
        "get-dimension-size",
        "async-start",
        "async-done",
        "async-update",
        "call-start",
    ),
}


def hbm_bytes(program: Program) -> int:
    """Of one run: what every instruction outside of fusions reads and writes, loops counted.

    Arrays in on-chip memories are free. Of an array that an instruction only slices, or updates
    in place, the slice counts.
    """
    total = 0
    for execution in program.executions:
        computation = program.computations[execution.computation]
        total += execution.times * sum(
            _moved(program, computation, instruction) for instruction in computation.values()
        )
    return total


def _moved(program: Program, computation: dict[str, Instruction], instruction: Instruction) -> int:
    opcode = instruction.opcode
    if opcode in _FREE or opcode.endswith("-done"):
        return 0
    if opcode.endswith("-start"):  # (target, source, ...) of a copy; (sources, targets, ...) else
        return _size(instruction.results[:2])
    if opcode in ("dynamic-slice", "slice", "gather"):
        return 2 * _size(instruction.results)
    if opcode == "send":  # its result is what is sent; `recv` writes one
        return _size(instruction.results)
    operands = [computation[name] for name in instruction.operands if name in computation]
    if opcode == "dynamic-update-slice":
        return 2 * _size(operands[1].results)
    if opcode != "fusion" or not instruction.called:
        return _size(instruction.results) + sum(_size(operand.results) for operand in operands)
    body = program.computations[instruction.called[0]]
    read = sum(
        min(_size(operand.results), _read_by_fusion(program, body, index))
        for index, operand in enumerate(operands)
        if _size(operand.results)
    )
    return read + _written_by_fusion(body, instruction)


def _read_by_fusion(program: Program, body: dict[str, Instruction], index: int) -> int:
    """What a fusion reads of its operand number `index`, which may be more than there is."""
    parameter = next(
        i for i in body.values() if i.opcode == "parameter" and i.arguments == str(index)
    )
    return _read_by_users(program, body, parameter)


def _read_by_users(program: Program, body: dict[str, Instruction], array: Instruction) -> int:
    total = 0
    for user in body.values():
        for place in (i for i, name in enumerate(user.operands) if name == array.name):
            if user.opcode == "bitcast":
                total += _read_by_users(program, body, user)
            elif user.opcode in ("dynamic-slice", "slice", "gather"):
                total += _bytes(user.results)
            elif user.opcode == "fusion":
                total += _read_by_fusion(program, program.computations[user.called[0]], place)
            elif user.opcode != "dynamic-update-slice" or place > 0:  # else: updated in place
                total += _bytes(array.results)
    return total


def _written_by_fusion(body: dict[str, Instruction], fusion: Instruction) -> int:
    root = next(i for i in body.values() if i.is_root)
    roots = [body[name] for name in root.operands] if root.opcode == "tuple" else [root]
    if len(roots) != len(fusion.results):
        return _size(fusion.results)
    total = 0
    for part, result in zip(roots, fusion.results, strict=True):
        while part.opcode == "bitcast":
            part = body[part.operands[0]]
        if part.opcode == "dynamic-update-slice":
            update = body[part.operands[1]]
            total += min(_size([result]), _bytes(update.results))
        else:
            total += _size([result])
    return total


def _size(arrays: Iterable[Array]) -> int:
    return sum(array.bytes for array in arrays if array.space == 0)


def _bytes(arrays: Iterable[Array]) -> int:
    return sum(array.bytes for array in arrays)
