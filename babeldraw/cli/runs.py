"""A finished (or running) run directory, opened again: its recipe, parameters and data."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babeldraw.cli import gin_config
from babeldraw.errors import UserError

if TYPE_CHECKING:
    from babeldraw.data.pipeline import Dataset
    from babeldraw.objectives.base import Objective


@dataclasses.dataclass(frozen=True)
class Run:
    """What `config.gin` and the latest checkpoint of a run directory say.

    Attributes:
      params: trained parameters of each player, host arrays.
      constants: parameters of the frozen networks.
      dataset: the training dataset.
    """

    objective: "Objective"
    params: Mapping[str, Any]
    constants: Any
    dataset: "Dataset"


def open_run(model_dir: str, objective_type: str) -> Run:
    """Opens a run directory whose objective is of the class named `objective_type`.

    Replaces gin's global configuration by the run's.

    Raises:
      UserError: there is no run, no checkpoint, or its objective is another one.
    """
    config = Path(model_dir) / "config.gin"
    if not config.is_file():
        raise UserError(
            f"{model_dir} is not a run directory (it has no config.gin); give the --model_dir of a "
            "`babeldraw train` run."
        )
    gin_config.parse_gin([str(config)], [])

    import gin

    from babeldraw.training import checkpoints

    def configured(name: str) -> Any:
        reference = gin.query_parameter(f"loop.train.{name}")
        return reference.scoped_configurable_fn()

    objective = configured("objective")
    if type(objective).__name__ != objective_type:
        raise UserError(
            f"{model_dir} was trained with the objective {type(objective).__name__}, but this "
            f"needs {objective_type}; give another run directory."
        )
    return Run(
        objective,
        checkpoints.load_params(model_dir),
        checkpoints.load_constants(model_dir),
        configured("train_dataset"),
    )
