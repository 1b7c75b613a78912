"""How a stack is cut into stages, rounds and microbatches, and what that wastes."""

import dataclasses

import jax

from babeldraw.errors import UserError


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """How a stack is cut into stages.

    Attributes:
      stages: devices along the mesh axis `stage`.
      num_microbatches: parts of the batch that follow one another through the stages.
      circular_repeats: rounds that a microbatch makes through the stages; None: as many as give
        each stage one layer a round. 1 is GPipe.

    Raises:
      UserError: fewer microbatches than stages, or a setting below 1.
    """

    stages: int
    num_microbatches: int
    circular_repeats: int | None = None

    def __post_init__(self) -> None:
        if self.stages < 1 or (self.circular_repeats is not None and self.circular_repeats < 1):
            raise UserError(
                f"A pipeline of {self.stages} stages and {self.circular_repeats} rounds cannot be "
                "made: set `stage` in the mesh and `circular_repeats` to 1 or more."
            )
        if self.num_microbatches < self.stages:
            raise UserError(
                f"{self.num_microbatches} microbatches leave some of the {self.stages} stages "
                f"without work at all times: set `num_microbatches` to {self.stages} or more."
            )

    def rounds(self, num_layers: int) -> int:
        """Rounds that a microbatch makes through a stack of `num_layers`.

        Raises:
          UserError: the layers do not divide by the stages times the rounds.
        """
        if num_layers % self.stages:
            raise UserError(
                f"{num_layers} layers do not divide by {self.stages} stages: set `stage` in the "
                f"mesh to one of {_divisors(num_layers)}."
            )
        most = num_layers // self.stages
        rounds = self.circular_repeats or most
        if most % rounds:
            raise UserError(
                f"{num_layers} layers do not divide by {self.stages} stages x {rounds} rounds: set "
                f"`circular_repeats` to one of {_divisors(most)}, or leave it out to give every "
                "stack as many rounds as it has layers a stage."
            )
        return rounds

    def iterations(self, num_layers: int) -> int:
        """Times that all stages run side by side, once each."""
        return self.num_microbatches * self.rounds(num_layers) + self.stages - 1

    def bubble_fraction(self, num_layers: int) -> float:
        """Share of a stage's iterations in which it has no microbatch to work on."""
        return (self.stages - 1) / self.iterations(num_layers)


def check_batch(batch_size: int, pipeline: Pipeline) -> None:
    """Whether a batch can be cut as the pipeline and the mesh that is set want it.

    Raises:
      UserError: it cannot.
    """
    parts = pipeline.num_microbatches
    if batch_size % parts:
        raise UserError(
            f"A batch of {batch_size} does not divide into {parts} microbatches: set "
            f"`num_microbatches` to a divisor of {batch_size} or change the batch size."
        )
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        return
    data, stage = mesh.shape["data"], mesh.shape["stage"]
    if (batch_size // parts) % data:
        raise UserError(
            f"A microbatch of {batch_size // parts} examples does not divide by the {data} devices "
            f"of mesh axis 'data': make the batch of {batch_size} a multiple of {parts} "
            f"microbatches x {data}, or change `num_microbatches` or `mesh`."
        )
    if pipeline.stages % stage:
        raise UserError(
            f"{pipeline.stages} stages do not divide by the {stage} devices of mesh axis 'stage': "
            "change `mesh`."
        )


def _divisors(number: int) -> str:
    return ", ".join(str(part) for part in range(1, number + 1) if number % part == 0)
