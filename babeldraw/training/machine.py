"""Where a recipe runs: the settings of a machine file, `configs/*.py`."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Annotated, Any

from babeldraw.errors import UserError
from babeldraw.parallel.execution import AttentionPath, Execution, Remat
from babeldraw.parallel.rules import Fsdp, Rules, training_rules
from babeldraw.parallel.schedule import Pipeline
from babeldraw.ranges import Count, Range, Unfit, Weight, Whole, fit

MeshSize = Annotated[int, Range(at_least=-1)]


@dataclasses.dataclass(frozen=True)
class Machine:
    """Settings that change how fast a recipe runs, and what it computes by rounding at most.

    Attributes:
      name: for reports.
      topology: the slice as the TPU compiler names it, such as "v4:8x8x16"; `babeldraw plan`
        compiles for it.
      mesh: mesh axis -> number of devices, see `parallel.mesh.make_mesh`. Where `stage` is more
        than 1, the text-to-image stacks are pipelined over it.
      sampling_mesh: the same for drawing pictures, which `babeldraw plan` compiles; empty: as
        `mesh`, or, under hybrid `fsdp`, a copy of the weights on each device.
      fsdp: shard weights and optimizer state over `data` as well, or, "hybrid", over `model`
        alone, which then splits no layer, see `parallel.rules.training_rules`.
      num_microbatches: of a pipeline, see `parallel.schedule.Pipeline`.
      circular_repeats: of a pipeline; 0: as many rounds as give each stage one layer a round.
      accumulate: parts of a step's batch that follow one another, each through forward and backward
        pass, before the one update: activations are those of a part. BATCH_SIZE is of the whole,
        and no number changes, dropout included.
      remat: what the backward pass recomputes, see `parallel.execution.Execution`.
      unroll: write layers out in place of `lax.scan`.
      attention: `auto`, `dense`, `blocks` or `splash`, see `parallel.execution.Execution`.
      xla_flags: given to XLA before JAX starts.
      checkpoint_every: steps between checkpoints; 0 saves the last step only.
      checkpoint_keep: how many of the latest checkpoints stay on disk.
      peak_flops: matrix products of one device, in floating-point operations a second; 0: not
        known, and then no model FLOPs utilisation (MFU) is reported.
      launch: resources for the launchers. The loop does not read it.
    """

    name: str = "local"
    topology: str = ""
    mesh: Mapping[str, MeshSize] = dataclasses.field(
        default_factory=lambda: {"data": -1, "stage": 1, "model": 1}
    )
    sampling_mesh: Mapping[str, MeshSize] = dataclasses.field(default_factory=dict)
    fsdp: Fsdp = False
    num_microbatches: Count = 1
    circular_repeats: Whole = 0
    accumulate: Count = 1
    remat: Remat = "none"
    unroll: bool = False
    attention: AttentionPath = "auto"
    xla_flags: str = ""
    checkpoint_every: Whole = 1000
    checkpoint_keep: Count = 3
    peak_flops: Weight = 0.0
    launch: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Machine":
        """From what a machine file's `get_config()` returns.

        Args:
          config: an `ml_collections.ConfigDict` or any mapping with this class's fields.

        Raises:
          UserError: a key that is no field, or a value of the wrong type.
        """
        values = config.to_dict() if hasattr(config, "to_dict") else dict(config)
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for key, value in values.items():
            if key not in fields:
                raise UserError(
                    f"The machine file sets {key!r}, which does not exist: use only "
                    f"{', '.join(fields)}."
                )
            try:
                values[key] = fit(value, fields[key].type)
            except Unfit as unfit:
                raise UserError(
                    f"The machine file sets {key} to {value!r}: it takes {unfit}."
                ) from unfit
        try:
            machine = cls(**values)
            machine.execution  # noqa: B018 - checks its own values.
        except ValueError as error:
            raise UserError(f"The machine file is wrong: {error}") from error
        return machine

    @property
    def execution(self) -> Execution:
        """How stacks of layers run on this machine."""
        stages = self.mesh.get("stage", 1)
        if stages < 1:
            raise ValueError(f"`mesh` needs a plain number of stages, not {stages}.")
        if stages > 1 and self.fsdp == "hybrid":
            raise ValueError(
                f"hybrid `fsdp` splits the batch over `model`, and a pipeline of {stages} stages "
                "does not: set `stage` to 1, or `fsdp` to True."
            )
        pipeline = None
        if stages > 1:
            pipeline = Pipeline(stages, self.num_microbatches, self.circular_repeats or None)
        return Execution(
            remat=self.remat,
            unroll=self.unroll,
            pipeline=pipeline,
            attention=self.attention,
            accumulate=self.accumulate,
        )

    @property
    def drawing_mesh(self) -> Mapping[str, MeshSize]:
        """The mesh for drawing pictures with what has been trained."""
        if self.sampling_mesh:
            return self.sampling_mesh
        return {"data": -1} if self.fsdp == "hybrid" else self.mesh

    @property
    def rules(self) -> Rules:
        """Where logical axes go in training."""
        return training_rules(self.fsdp)

    def to_json(self) -> str:
        """For the run directory."""
        return json.dumps(dataclasses.asdict(self), indent=2, default=str) + "\n"
