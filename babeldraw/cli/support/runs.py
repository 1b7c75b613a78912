"""A finished (or running) run directory, opened again: its recipe, parameters and data."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babeldraw.cli.support import gin_config
from babeldraw.errors import UserError

if TYPE_CHECKING:
    from babeldraw.data.pipeline import Dataset
    from babeldraw.objectives.coca import ContrastiveCaptioner
    from babeldraw.objectives.text_to_image import TextToImage
    from babeldraw.objectives.tokenizer import Tokenizer
    from babeldraw.sampling.upscale import Upscaler


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


@dataclasses.dataclass(frozen=True)
class TokenizerRun:
    """What `config.gin` and the latest checkpoint of a run that trains a tokenizer say.

    Attributes:
      params: of its ViT-VQGAN, the averaged ones where the run keeps averages; host arrays.
      dataset: the evaluation dataset.
    """

    objective: "Tokenizer"
    params: Mapping[str, Any]
    dataset: "Dataset"


@dataclasses.dataclass(frozen=True)
class CoCaRun:
    """What `config.gin` and the latest checkpoint of a CoCa run say.

    Attributes:
      params: of its CoCa, host arrays.
      dataset: the training dataset, whose vocabulary its texts are in.
    """

    objective: "ContrastiveCaptioner"
    params: Mapping[str, Any]
    dataset: "Dataset"


def open_text_to_image(model_dir: str) -> TextToImageRun:
    """Opens a text-to-image run directory; replaces gin's global configuration by the run's.

    Raises:
      UserError: there is no run, no checkpoint, or its objective is another one.
    """
    configured = _open(model_dir)

    from babeldraw.objectives.text_to_image import TextToImage
    from babeldraw.training.keeping import checkpoints

    objective = configured("objective")
    if not isinstance(objective, TextToImage):
        raise _wrong_objective(
            model_dir, objective, "draws no pictures from text", "a text-to-image run"
        )
    return TextToImageRun(
        objective,
        checkpoints.load_params(model_dir),
        checkpoints.load_constants(model_dir),
        configured("train_dataset"),
    )


def open_tokenizer(model_dir: str) -> TokenizerRun:
    """Opens a run directory of a tokenizer or of a finetuned decoder, as `open_text_to_image`.

    Raises:
      UserError: there is no run, no checkpoint, or its objective is another one.
    """
    configured = _open(model_dir)

    from babeldraw.objectives.tokenizer import Tokenizer
    from babeldraw.training.keeping import checkpoints

    objective = configured("objective")
    if not isinstance(objective, Tokenizer):
        raise _wrong_objective(model_dir, objective, "trains no tokenizer", "a tokenizer run")
    return TokenizerRun(
        objective, checkpoints.load_tokenizer(model_dir), configured("eval_dataset")
    )


def open_coca(model_dir: str) -> CoCaRun:
    """Opens a run directory of a CoCa, as `open_text_to_image`.

    Raises:
      UserError: there is no run, no checkpoint, or its objective is another one.
    """
    configured = _open(model_dir)

    from babeldraw.objectives.coca import NAME, ContrastiveCaptioner
    from babeldraw.training.keeping import checkpoints

    objective = configured("objective")
    if not isinstance(objective, ContrastiveCaptioner):
        raise _wrong_objective(
            model_dir,
            objective,
            "compares no pictures with texts",
            "a CoCa run (gin/runs/coca.gin)",
        )
    return CoCaRun(objective, checkpoints.load_params(model_dir)[NAME], configured("train_dataset"))


def open_upscaler(model_dir: str) -> "Upscaler":
    """Opens a run directory of a super-resolution network, as `open_text_to_image`.

    Raises:
      UserError: there is no run, no checkpoint, or its objective is another one.
    """
    configured = _open(model_dir)

    from babeldraw.objectives.super_resolution import SuperResolution
    from babeldraw.sampling.upscale import Upscaler
    from babeldraw.training.keeping import checkpoints

    objective = configured("objective")
    if not isinstance(objective, SuperResolution):
        raise _wrong_objective(
            model_dir, objective, "enlarges no pictures", "a super-resolution run"
        )
    return Upscaler(objective.model, checkpoints.load_networks(model_dir)["super_resolution"])


def _open(model_dir: str) -> Callable[[str], Any]:
    """Parses a run's config.gin; what it returns makes an argument of `loop.train` by its name."""
    config = Path(model_dir) / "config.gin"
    if not config.is_file():
        raise UserError(
            f"{model_dir} is not a run directory (it has no config.gin); give the --model_dir of a "
            "`babeldraw train` run."
        )
    gin_config.parse_gin([str(config)], [])

    import gin

    return lambda name: gin.query_parameter(f"loop.train.{name}").scoped_configurable_fn()


def _wrong_objective(model_dir: str, objective: Any, what: str, wanted: str) -> UserError:
    return UserError(
        f"{model_dir} was trained with the objective {type(objective).__name__}, which {what}; "
        f"give the directory of {wanted}."
    )
