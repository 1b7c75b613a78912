"""The programs of a recipe, compiled for devices that need not exist.

The train step is the one that the loop compiles, and drawing pictures the one that the sampler
compiles, with shapes in the place of arrays.
"""

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.sharding import Mesh

from babeldraw.objectives.base import Objective
from babeldraw.parallel.execution import Execution
from babeldraw.parallel.rules import INFERENCE_RULES, batch_groups, placing
from babeldraw.planning import kept
from babeldraw.planning.kept import CompiledProgram
from babeldraw.sampling import places
from babeldraw.sampling.pictures import Sampler
from babeldraw.training.batches import batch_layout
from babeldraw.training.machine import Machine
from babeldraw.training.state import (
    Variable,
    abstract_state,
    bytes_a_device,
    describe_state,
)
from babeldraw.training.step import lower_step

GIB = 2**30
GUIDANCE_WEIGHT = 1.2  # as in the paper's tables (arXiv 2206.10789); it doubles the batch
SAMPLES = 16  # drawn side by side by each data-parallel group: as many as a prompt gets (patent)


def compile_train_step(
    objective: Objective, machine: Machine, batch_size: int, mesh: Mesh
) -> tuple[CompiledProgram, list[Variable]]:
    """The train step of `training.loop`, and the variables of its state."""
    objective = objective.with_execution(machine.execution)
    held = objective.held(objective.abstract_constants())
    constants = _on(held, objective.constant_shardings(held, mesh, machine.rules))
    with placing(mesh, machine.rules):
        variables = describe_state(objective, mesh, machine.rules)
        target = abstract_state(objective, variables)
        layout = batch_layout(objective, batch_size, mesh, machine.rules)
        arguments = sum(variable.bytes_a_device for variable in variables)
        arguments += _tree_bytes((constants, dict(layout.entries)))
        program = run_compiler(
            lambda: lower_step(objective, 0, target, constants, layout, mesh)[0], mesh, arguments
        )
    return program, variables


def abstract_sampler(objective: Objective, mesh: Mesh) -> Sampler:
    """A sampler of `SAMPLES` pictures a data-parallel group, with shapes in place of parameters.

    Raises:
      NotOffered: the objective draws no pictures.
    """
    objective = objective.with_execution(Execution())
    variables = describe_state(objective, mesh, INFERENCE_RULES)
    params = abstract_state(objective, variables).params
    frozen = objective.abstract_constants()
    where = objective.constant_shardings(frozen, mesh, INFERENCE_RULES)
    networks = {**_on(frozen, where), **params}
    batch_size = SAMPLES * batch_groups(mesh)
    return objective.sampler(networks, guidance_weight=GUIDANCE_WEIGHT, batch_size=batch_size)


def compile_sampling(sampler: Sampler) -> CompiledProgram:
    """The program of an `abstract_sampler` for a batch of its size."""
    with places.running_on(sampler.mesh):
        inputs = sampler.inputs(sampler.batch_size)
        arguments = (sampler.params, sampler.tokenizer_params, *inputs)
        return run_compiler(
            lambda: sampler.program.lower(*arguments), sampler.mesh, _tree_bytes(arguments)
        )


def _tree_bytes(tree: Any) -> int:
    return sum(map(bytes_a_device, jax.tree.leaves(tree)))


def _on(tree: Any, shardings: Any) -> Any:
    def on(leaf: Any, where: jax.sharding.Sharding) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)

    return jax.tree.map(on, tree, shardings)


_FRAMES = "jax_traceback_in_locations_limit"
_EFFORT = "jax_exec_time_optimization_effort"
"""JAX's setting, from -1 to 1; 0 is the compiler's own."""


def optimise_least() -> None:
    """Programs compiled from now on take a fraction of the time, and about the same memory."""
    jax.config.update(_EFFORT, -1.0)


def optimise_fully() -> None:
    """Programs compiled from now on are those that run on chips."""
    jax.config.update(_EFFORT, 0.0)


def programs_are_quick() -> bool:
    """Whether `optimise_least` was called."""
    effort: float = getattr(jax.config, _EFFORT)
    return effort < 0


@contextlib.contextmanager
def _without_places() -> Iterator[None]:
    """Lowered programs name operations, but not the lines of source that they come from."""
    limit = getattr(jax.config, _FRAMES)
    jax.config.update(_FRAMES, 0)
    try:
        yield
    finally:
        jax.config.update(_FRAMES, limit)


def run_compiler(
    lower: Callable[[], jax.stages.Lowered], mesh: Mesh, argument_bytes: int
) -> CompiledProgram:
    """What the compiler says of a program, its refusal too; kept for the next plan of it.

    Args:
      lower: traces the program, for the devices of `mesh`.
      argument_bytes: of one chip's share of the program's arguments.
    """
    began = time.perf_counter()
    with _without_places():
        lowered = lower()
    file = kept.program_file(lowered, mesh)
    if file is not None and (program := kept.read(file)) is not None:
        return program
    program = _compile(lowered, argument_bytes, began)
    if file is not None:
        kept.write(file, program)
    return program


def _compile(lowered: jax.stages.Lowered, argument_bytes: int, began: float) -> CompiledProgram:
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        wanted, available = parse_refusal(str(error))
        seconds = time.perf_counter() - began
        return CompiledProgram(seconds, wanted, argument_bytes, available, "")
    seconds = time.perf_counter() - began
    memory, text = compiled.memory_analysis(), compiled.as_text()
    assert memory is not None and text, "the TPU compiler gives both"
    return CompiledProgram(seconds, memory.peak_memory_in_bytes, argument_bytes, None, text)


_REFUSALS = (
    # "Ran out of memory in memory space hbm. Used 189.00G of 30.75G hbm."
    r"Used ([\d.]+[KMGT]?) of ([\d.]+[KMGT]?) hbm",
    # "... the total memory required for HLO temporaries (512.00G) exceeds available HBM (30.75G)."
    r"required for .*?\(([\d.]+[KMGT]?)\) exceeds available HBM \(([\d.]+[KMGT]?)\)",
)
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def parse_refusal(message: str) -> tuple[int, int]:
    """(bytes wanted, bytes available) of the error with which the compiler refuses a program.

    Raises:
      ValueError: it is another error.
    """
    for pattern in _REFUSALS:
        found = re.search(pattern, message)
        if found and "RESOURCE_EXHAUSTED" in message:
            return _bytes(found[1]), _bytes(found[2])
    raise ValueError(f"the TPU compiler failed: {message[:2000]}")


def _bytes(text: str) -> int:
    unit = _UNITS.get(text[-1], 1)
    return round(float(text.rstrip("KMGT")) * unit)
