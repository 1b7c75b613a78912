"""Files of this machine: where they may be kept, and how they appear whole or not at all."""

import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import BinaryIO

from babeldraw.errors import UserError


def cache_dir() -> pathlib.Path:
    """Where Babeldraw keeps what it can make again: BABELDRAW_CACHE_DIR or ~/.cache/babeldraw."""
    return pathlib.Path(os.environ.get("BABELDRAW_CACHE_DIR") or "~/.cache/babeldraw").expanduser()


@contextlib.contextmanager
def written_whole(
    path: str | os.PathLike[str], advice: str = "choose another --output"
) -> Iterator[BinaryIO]:
    """A file to write, which takes its name only at the end; makes its folder where needed.

    Raises:
      UserError: it cannot be written.
    """
    with renamed_when_whole(path, advice) as temporary, temporary.open("wb") as file:
        yield file


@contextlib.contextmanager
def renamed_when_whole(path: str | os.PathLike[str], advice: str) -> Iterator[pathlib.Path]:
    """The path of a file to write, beside `path`, whose name it takes at the end.

    Raises:
      UserError: it cannot be written; `advice` ends the sentence.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".partial-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}); {advice}."
        ) from error
    finally:
        with contextlib.suppress(OSError):  # gone already, if all went well
            temporary.unlink()
