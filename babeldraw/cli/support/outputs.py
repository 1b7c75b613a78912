"""What a command reads and writes, looked at before its work and not after it."""

import contextlib
import os
import re

from babeldraw.cli.support.named import find_model
from babeldraw.errors import UserError
from babeldraw.files import is_remote, path
from babeldraw.training.keeping import run_folders


def check_folder(name: str, flag: str) -> None:
    """Writes a file in the folder and reads it again; nothing is left of that.

    Args:
      name: the folder, local or remote; it need not be there.
      flag: for the message, such as "--output".

    Raises:
      UserError: it cannot be made, or no file can be written in it.
    """
    try:
        _probe(name)
    except Exception as error:  # each file layer has its own
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"{flag} {name} cannot be written ({reason}); change its permissions, or give another "
            f"{flag}"
        ) from error


def check_local(name: str, flag: str) -> None:
    """As `check_folder`, for what is written file by file in ways that know disks alone."""
    if is_remote(name):
        raise UserError(f"{flag} {name} is in a bucket; name a folder of this machine.")
    check_folder(name, flag)


def check_file(name: str, flag: str) -> None:
    """As `check_folder`, for a file that is to be written."""
    if path(name).is_dir():
        raise UserError(f"{flag} {name} is a folder; name the file to write.")
    check_folder(os.fspath(path(name).parent), flag)


def check_apart(name: str, flag: str, task: str) -> None:
    """Whether a folder to write into is another one than that of the task's pictures.

    What lies in a folder of the task's is left out where it is marked, and read where it is the
    folder itself.

    Args:
      task: such as folder:/my/pictures, or a mixture.

    Raises:
      UserError: it is the same.
    """
    for where in re.findall(r"\w+:([^,+]+?)(?::[\d.]+)?(?=[,+]|$)", task):
        if is_remote(where) or is_remote(name):
            same = where.rstrip("/") == name.rstrip("/")
        else:
            same = os.path.isdir(where) and os.path.realpath(where) == os.path.realpath(name)
        if same:
            raise UserError(
                f"{flag} {name} is the folder of the pictures themselves, with which what is "
                f"written there would be read; give another {flag}."
            )


def check_run(name: str) -> None:
    """Whether there is a trained model to read, or a run inside, before what reads it is imported.

    Raises:
      UserError: there is none.
    """
    run_folders.require_run(find_model(name))


def _probe(name: str) -> None:
    folder = path(name)
    missing, made = folder, []
    while not is_remote(name) and not missing.exists() and missing != missing.parent:
        made.append(missing)
        missing = missing.parent
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(0, "it is a file")
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f".babeldraw-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        probe.write_text("x")
        if probe.read_text() != "x":
            raise OSError(0, "what is written there is not what is read")
        probe.unlink()
    finally:
        with contextlib.suppress(OSError):  # another process has found them and writes there
            for each in made:
                each.rmdir()
