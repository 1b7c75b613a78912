"""What the parsed gin files say: a run to take place, or its objective alone."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from babeldraw.cli.support import gin_config, outputs, paths
from babeldraw.errors import UserError

if TYPE_CHECKING:
    from babeldraw.objectives.base import Objective


def train_recipe(
    gin_files: Sequence[str], bindings: Sequence[str], config: Any, search_paths: str = ""
) -> None:
    """Calls `loop.train` as the gin files and `NAME = VALUE` bindings say, on a machine.

    Args:
      config: what `load_machine_file` gave; `set_environment` has been called with it.

    Raises:
      UserError: the recipe is wrong or incomplete, or does not fit the machine.
    """
    # Imports of the recipe load JAX, Flax and the data pipeline.
    config_text = gin_config.parse_gin(gin_files, bindings, search_paths)
    import gin

    from babeldraw.training.loop import train
    from babeldraw.training.machine import Machine

    try:
        configured_train = gin.get_configurable(train)
    except ValueError:  # gin has not registered it
        raise UserError(
            f"{', '.join(gin_files)} sets nothing of loop.train, so there is nothing to train; "
            "add a run, such as --gin_file=gin/runs/text_to_image.gin"
        ) from None
    model_dir = _setting("loop.train.model_dir")
    if model_dir is not None:
        outputs.check_apart(model_dir, "--model_dir", _setting("%MIXTURE_OR_TASK_NAME") or "")
        outputs.check_folder(model_dir, "--model_dir")
    try:
        configured_train(machine=Machine.from_config(config), config_text=config_text)
    except (TypeError, ValueError) as error:
        sentence = _refused_settings(str(error))
        if sentence is None:
            raise
        raise UserError(sentence) from error


def _setting(name: str) -> str | None:
    """Of the recipe that gin has parsed; None where it has none, which the call says."""
    import gin

    try:
        value = gin.query_parameter(name)
    except ValueError:
        return None
    given: str = value if isinstance(value, str) else value.scoped_configurable_fn()
    return given


def read_recipe(gin_files: list[str]) -> tuple["Objective", int]:
    """The objective and the batch size of the recipe that gin has parsed.

    Raises:
      UserError: it has no `loop.train.objective` or no `loop.train.train_dataset`.
    """
    dataset = _configured("train_dataset", gin_files)
    return _configured("objective", gin_files), dataset.batch_size


def _configured(name: str, gin_files: list[str]) -> Any:
    import gin

    try:
        reference = gin.query_parameter(f"loop.train.{name}")
    except ValueError as error:
        runs = sorted(
            str(path.relative_to(folder))
            for folder in paths.search_folders()
            for path in (folder / "gin" / "runs").glob("*.gin")
        )
        raise UserError(
            f"{', '.join(gin_files)} sets no {name} of loop.train, so there is nothing to plan; "
            f"add one of the runs that exist: {', '.join(dict.fromkeys(runs))}"
        ) from error
    return reference.scoped_configurable_fn()


def _refused_settings(message: str) -> str | None:
    """One sentence for an error in building what the recipe names; None for one in the loop.

    Args:
      message: of a TypeError or ValueError to which gin has added the calls that it came through,
        innermost first.
    """
    called = re.findall(r"\n  In call to configurable '(\S+)'", message)
    cause = message.partition("\n")[0]
    missing = re.match(r"\S+\(\) missing \d+ required .*: (.+)", cause)
    if called and missing:
        names = missing[1].replace("'", "")
        return f"the recipe does not set {names} of {called[0]}; bind it in a gin file"
    if called and called[0] != "train":
        return f"the recipe's settings of {called[0]} do not work: {cause}"
    return None
