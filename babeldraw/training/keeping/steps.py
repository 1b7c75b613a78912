"""Which checkpoints a run directory holds, without a library that could read them."""

from babeldraw import files

T5X_PREFIX = "checkpoint_"
"""Of the folders of T5X's checkpoints, in its MODEL_DIR."""

_COMMITTED = "commit_success.txt"


def whole_steps(model_dir: str) -> list[int]:
    """Steps of the checkpoints that are whole, sorted; none where there is no such directory.

    Orbax writes a checkpoint under another name and renames it when it is whole. Google's store
    cannot rename a folder: there a file says so, which is written last.

    Raises:
      UserError: the directory cannot be listed.
    """
    return _whole(model_dir, "checkpoints", "")


def t5x_steps(model_dir: str) -> list[int]:
    """The same of a MODEL_DIR of T5X's, which writes them with Orbax, too.

    Raises:
      UserError: the directory cannot be listed.
    """
    return _whole(model_dir, "", T5X_PREFIX)


def _whole(model_dir: str, folder: str, prefix: str) -> list[int]:
    directory = files.path(model_dir) / folder
    names = [name for name in files.names_in(directory) or [] if name.startswith(prefix)]
    numbers = [name.removeprefix(prefix) for name in names]
    steps = [int(number) for number in numbers if number.isdigit()]
    if str(directory).startswith("gs://"):
        steps = [step for step in steps if (directory / f"{prefix}{step}" / _COMMITTED).exists()]
    return sorted(steps)
