"""What a layout takes at the least, by arithmetic: no compiler is asked.

Every figure is a lower bound, so that what it rules out is ruled out: memory is the state, its
gradients and what rematerialisation has to keep; time is the closed form's operations at the peak
rate, or what the links have to carry, whichever is longer.
"""

import dataclasses
import functools
from typing import Any, cast

import jax
from jax.sharding import AbstractMesh, Mesh

from babeldraw.errors import UserError
from babeldraw.objectives.base import Objective
from babeldraw.parallel.execution import Execution
from babeldraw.parallel.mesh import AXES
from babeldraw.parallel.rules import training_rules, variable_sharding
from babeldraw.parallel.schedule import Pipeline
from babeldraw.planning.layouts import Layout
from babeldraw.planning.programs import GIB
from babeldraw.planning.roofline import between_slices_seconds, exchange_seconds
from babeldraw.planning.topologies import Topology
from babeldraw.training.machine import Machine
from babeldraw.training.state import Variable, describe_state

_KEPT = {"none": 10, "dots": 5, "attention": 2, "full": 1}
"""Arrays as large as the residual stream that a layer keeps for its backward pass, at the least.

All keep its input, `attention` what self-attention adds as well; `dots` its input and query, key,
value and output. `none` keeps the inputs of all of these too. These two keep the hidden layer of
the feed-forward besides.
"""
_EXCHANGES = 8
"""AllGathers and ReduceScatters of a layer split over `model`: one of each around attention and
around the feed-forward, and their transposes in the backward pass."""


@dataclasses.dataclass(frozen=True)
class Reckoned:
    """A layout's least.

    Attributes:
      gib: memory of one device.
      compute, links: seconds of a step.
      expected_links: what the links may take, for the order of trials alone.
    """

    layout: Layout
    gib: float
    compute: float
    links: float
    expected_links: float

    @property
    def least_seconds(self) -> float:
        """No step is faster."""
        return max(self.compute, self.links)

    def expected_seconds(self, memory: float) -> float:
        """What a step may take, for the order of trials alone.

        Args:
          memory: seconds of HBM traffic of layouts like this one.
        """
        return max(self.compute, memory) + self.expected_links


class Reckoner:
    """Reckons the layouts of one recipe."""

    def __init__(self, objective: Objective, batch_size: int, accumulate: int = 1) -> None:
        """`accumulate`: the parts that a step's batch of `batch_size` goes in.

        Raises:
          UserError: they do not divide it.
        """
        if batch_size % accumulate:
            raise UserError(
                f"The batch of {batch_size} does not divide into {accumulate} parts: change "
                "`accumulate` in the machine file, or BATCH_SIZE."
            )
        self._objective = objective
        self._batch_size, self.parts = batch_size, accumulate
        self._counted = objective.flops()
        constants = jax.tree.leaves(objective.held(objective.abstract_constants()))
        self._frozen: int = sum(leaf.size * leaf.dtype.itemsize for leaf in constants)
        self._variables = functools.cache(self._describe)
        self._state = functools.cache(self._state_bytes)

    def reckon(self, layout: Layout, topology: Topology) -> Reckoned | None:
        """The least of a layout; None where a variable does not divide by the mesh."""
        try:
            weights, state = self._state(*layout.mesh.values(), layout.fsdp)
        except UserError:
            return None
        residual = self._residual_bytes() / topology.num_devices
        memory = self._frozen + state + weights  # gradients are as large as the weights
        inputs = self._rounds_a_layer(layout) * residual  # of a stage's layers in a row, the first
        kept = _KEPT[layout.remat] - 1.0
        if layout.remat in ("none", "dots"):
            kept += self._hidden_widths()
        memory += (kept * residual + inputs) / self.parts
        seconds = 0.0
        if self._counted is not None:
            execution = layout.on(Machine()).execution
            operations = self._counted.executed(self._batch_size, execution)
            seconds = operations / topology.num_devices / topology.chip.peak_flops
        gradients, gathers, layers, shifts = self._links(layout, weights, residual, topology)
        least = gradients + gathers + layers + shifts
        # Loops may gather weights anew for every microbatch, and for every part.
        return Reckoned(
            layout,
            gib=memory / GIB,
            compute=seconds,
            links=least,
            expected_links=least + (self.parts * layout.num_microbatches - 1) * gathers,
        )

    def weights_gib(self, model: int) -> float | None:
        """What drawing pictures reads, on one of `model` devices; None where it does not divide."""
        try:
            weights: float = self._state(1, 1, model, False)[0]
        except UserError:
            return None
        return (self._frozen + weights) / GIB

    def _links(
        self, layout: Layout, weights: float, residual: float, topology: Topology
    ) -> tuple[float, float, float, float]:
        """Seconds in which gradients leave, weights come, layers and stages are joined."""
        exchange = functools.partial(exchange_seconds, topology=topology)
        gathers = layers = shifts = 0.0
        within = layout.data // topology.num_slices  # of a slice, along `data`

        def along_data(kind: str, size: float) -> float:
            between = between_slices_seconds(kind, size / within, topology)
            return exchange(kind, size, within) + between

        if layout.fsdp == "hybrid":
            whole = self._state(1, 1, 1, False)[0]
            gradients = exchange("reduce-scatter", whole, layout.model)
            gradients += along_data("all-reduce", whole / layout.model)
            gathers = 2 * exchange("all-gather", whole / 2, layout.model)
        elif layout.fsdp:
            whole = self._state(*(layout.mesh | {"data": 1}).values(), False)[0]
            gradients = along_data("reduce-scatter", whole)
            gathers = 2 * along_data("all-gather", whole / 2)  # in half the bytes
        else:
            gradients = along_data("all-reduce", weights)
        if layout.model > 1 and layout.fsdp != "hybrid":
            layers = _EXCHANGES * exchange("all-gather", residual * layout.model, layout.model)
        if layout.stage > 1:  # forward and back
            sent = 2 * self._rounds_a_layer(layout) * residual
            shifts = exchange("collective-permute", sent, layout.stage)
        return gradients, gathers, layers, shifts

    def _rounds_a_layer(self, layout: Layout) -> float:
        """1 where a stage has a layer a round, and without a pipeline; less where it has more."""
        if not layout.circular_repeats or self._counted is None:
            return 1.0
        deepest = max(stack.layers for stack in self._counted.stacks.values() if stack.pipelined)
        return layout.circular_repeats * layout.stage / deepest

    def _hidden_widths(self) -> float:
        """How much wider a feed-forward's hidden layer is than attention."""
        stacks = self._counted.stacks.values() if self._counted else ()
        return min((s.mlp_outputs / s.attention_outputs for s in stacks if s.pipelined), default=0)

    def _residual_bytes(self) -> float:
        """Of the residual stream before every layer and for all examples, in 2 bytes a number.

        An output projection takes 2 x width operations a number of its result, which is as wide.
        """
        if self._counted is None:
            return 0.0
        widths = [
            v.shape[i] for v in self._variables(1) for i, a in enumerate(v.axes) if a == "embed"
        ]
        if not widths:
            return 0.0
        outputs = sum(s.attention_outputs for s in self._counted.stacks.values() if s.pipelined)
        return 2 * self._batch_size * outputs / (2 * max(widths))

    def _state_bytes(self, data: int, stage: int, model: int, fsdp: Any) -> tuple[float, float]:
        """(weights, weights and optimizer state) on one device.

        Raises:
          UserError: a variable does not divide by the mesh, or a stack by its stages.
        """
        mesh = _sizes(data, stage, model)
        rules = Machine(fsdp=fsdp).rules
        weights = state = 0
        for variable in self._variables(stage):
            placed = variable_sharding(variable.name, variable.shape, variable.axes, mesh, rules)
            size = dataclasses.replace(variable, sharding=placed).bytes_a_device
            state += size
            if variable.name.startswith("params/"):
                weights += size
        return weights, state

    def _describe(self, stages: int) -> list[Variable]:
        pipeline = None if stages == 1 else Pipeline(stages, stages)
        objective = self._objective.with_execution(Execution(pipeline=pipeline))
        return describe_state(objective, _sizes(1, 1, 1), training_rules())


def _sizes(*sizes: int) -> Mesh:
    """A mesh without devices: what places variables asks for sizes alone."""
    return cast(Mesh, AbstractMesh(sizes, AXES))
