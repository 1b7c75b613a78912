"""Which checkpoints a run directory holds, without a library that could read them."""

from babeldraw import files

_COMMITTED = "commit_success.txt"


def whole_steps(model_dir: str) -> list[int]:
    """Steps of the checkpoints that are whole, sorted; none where there is no such directory.

    Orbax writes a checkpoint under another name and renames it when it is whole. Google's store
    cannot rename a folder: there a file says so, which is written last.

    Raises:
      UserError: the directory cannot be listed.
    """
    directory = files.path(model_dir) / "checkpoints"
    steps = [int(name) for name in files.names_in(directory) or [] if name.isdigit()]
    if str(directory).startswith("gs://"):
        steps = [step for step in steps if (directory / str(step) / _COMMITTED).exists()]
    return sorted(steps)
