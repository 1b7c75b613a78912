"""A finished (or running) run directory, opened again: its recipe, parameters and data."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babeldraw.cli import gin_config
from babeldraw.errors import UserError

if TYPE_CHECKING:
    from babeldraw.data.pipeline import Dataset
    from babeldraw.objectives.text_to_image import TextToImage


@dataclasses.dataclass(frozen=True)
class TextToImageRun:
    """What `config.gin` and the latest checkpoint of a text-to-image run say.

    Attributes:
      params: trained parameters of each player, host arrays.
      constants: parameters of the frozen tokenizer.
      dataset: the training dataset.
    """

    objective: "TextToImage"
    params: Mapping[str, Any]
    constants: Mapping[str, Any]
    dataset: "Dataset"


def open_text_to_image(model_dir: str) -> TextToImageRun:
    """Opens a text-to-image run directory; replaces gin's global configuration by the run's.

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

    from babeldraw.objectives.text_to_image import TextToImage
    from babeldraw.training import checkpoints

    def configured(name: str) -> Any:
        return gin.query_parameter(f"loop.train.{name}").scoped_configurable_fn()

    objective = configured("objective")
    if not isinstance(objective, TextToImage):
        raise UserError(
            f"{model_dir} was trained with the objective {type(objective).__name__}, which draws "
            "no pictures from text; give the directory of a text-to-image run."
        )
    return TextToImageRun(
        objective,
        checkpoints.load_params(model_dir),
        checkpoints.load_constants(model_dir),
        configured("train_dataset"),
    )
