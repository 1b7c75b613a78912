"""The names of a run's classes, in model_dir/classes.txt: the line's number is the class."""

from collections.abc import Sequence

from etils import epath

from babeldraw.errors import UserError
from babeldraw.files import written_whole

NAME = "classes.txt"


def write(directory: epath.Path, names: Sequence[str]) -> None:
    """Writes the names, one a line, where they are not there.

    Raises:
      UserError: the run was trained with other classes, or the file cannot be written.
    """
    path = directory / NAME
    # A name of several lines would be several classes.
    lines = [" ".join(name.split()) for name in names]
    if path.exists():
        if read(directory) != tuple(lines):
            raise UserError(
                f"The data's classes are not those of {path}, with which this run was trained: "
                "give its data, or train into another --model_dir."
            )
        return
    with written_whole(path, "free its disk or give another model_dir") as file:
        file.write("".join(f"{line}\n" for line in lines).encode())


def read(directory: epath.Path) -> tuple[str, ...]:
    """The names; none of a run without the file.

    Raises:
      UserError: it is not UTF-8.
    """
    path = directory / NAME
    if not path.exists():
        return ()
    try:
        return tuple(path.read_bytes().decode().split("\n")[:-1])
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is damaged ({error.reason}): bring it back from a copy of the run."
        ) from error
