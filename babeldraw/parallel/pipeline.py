"""Circular pipelining of a stack of layers, as tensor partitioning."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """How a stack is cut into stages.

    Attributes:
      stages: devices along the mesh axis `stage`.
      num_microbatches: parts of the batch that follow one another through the stages.
      circular_repeats: rounds that a microbatch makes through the stages; None: as many as give
        each stage one layer a round. 1 is GPipe.
    """

    stages: int
    num_microbatches: int
    circular_repeats: int | None = None

    def rounds(self, num_layers: int) -> int:
        """Rounds that a microbatch makes through a stack of `num_layers`."""
        return self.circular_repeats or num_layers // self.stages
