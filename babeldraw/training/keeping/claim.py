"""A run directory belongs to one run at a time, and can be written to."""

import contextlib
import errno
import fcntl
import os
import pathlib
import socket
from collections.abc import Iterator

from babeldraw.errors import UserError
from babeldraw.files import is_remote
from babeldraw.training.agreement import by_first
from babeldraw.training.keeping import remote_claim

LOCK = "lock"

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOENT, errno.EEXIST}


@contextlib.contextmanager
def claim(model_dir: str) -> Iterator[None]:
    """Makes the directory where it is missing, and holds it until the context is left.

    A directory in which nothing has been written by then, such as one of a run that was refused,
    is taken away again, with the folders above it that were missing.

    Process 0 locks a file in it (`fcntl.lockf`). The lock is the operating system's: it is gone
    when the process is, however that ends. An object store (gs://) has no such lock, and gets an
    object with an owner (remote_claim.py).

    Raises:
      UserError: another run holds it, or it cannot be written to. In all processes.
    """
    with contextlib.ExitStack() as stack:
        by_first(lambda: _lock(model_dir, stack))
        yield


def _lock(model_dir: str, stack: contextlib.ExitStack) -> None:
    if is_remote(model_dir):
        stack.enter_context(remote_claim.holding(model_dir))
        return
    directory = pathlib.Path(model_dir)
    with writing_to(model_dir):
        missing = [each for each in (directory, *directory.parents) if not each.exists()]
        directory.mkdir(parents=True, exist_ok=True)
        bare = not any(directory.iterdir())
        file = stack.enter_context((directory / LOCK).open("a+"))
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.exists(directory / LOCK):  # Just taken away by a run that was refused.
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            return  # A file system without locks.
        file.seek(0)
        holder = file.read().strip() or "another process"
        raise UserError(
            f"{model_dir} is being written to by {holder}: wait for it, stop it, or give another "
            "model_dir."
        ) from error
    with writing_to(model_dir):
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
    if bare:
        stack.callback(_take_away, directory, missing)


def _take_away(directory: pathlib.Path, made: list[pathlib.Path]) -> None:
    """If nothing but the lock and empty folders is there: takes away those, and what was made.

    Args:
      made: folders that were missing, the innermost first.
    """
    found = sorted(directory.rglob("*"), reverse=True)  # What is in a folder comes before it.
    if any(not each.is_dir() and each != directory / LOCK for each in found):
        return
    with contextlib.suppress(OSError):  # Something has come in by now, and stays.
        for each in found:
            each.rmdir() if each.is_dir() else each.unlink()
        for folder in made:
            folder.rmdir()


@contextlib.contextmanager
def writing_to(model_dir: str) -> Iterator[None]:
    """Says in a sentence what the operating system has against writing.

    Raises:
      UserError: the disk is full, or the directory cannot be written to.
    """
    try:
        yield
    except OSError as error:
        sentence = refusal(model_dir, error)
        if sentence is None:
            raise
        raise UserError(sentence) from error


def refusal(model_dir: str, error: BaseException) -> str | None:
    """The sentence for an error in writing, None for one of another kind.

    Storage libraries wrap errors of the system: those are known by their text.
    """
    number = error.errno if isinstance(error, OSError) else None
    if number in _FULL or any(os.strerror(n) in str(error) for n in _FULL):
        return (
            f"The disk that holds {model_dir} is full: free some space and run again, which goes "
            "on from the last whole checkpoint."
        )
    path = getattr(error, "filename", None)
    if number in _REFUSED and path is not None and _is_above_or_below(str(path), model_dir):
        return (
            f"{model_dir} cannot be read or written ({os.strerror(number or 0)}): change its "
            "permissions or give another model_dir."
        )
    return None


def _is_above_or_below(path: str, model_dir: str) -> bool:
    one, other = sorted((os.path.abspath(path), os.path.abspath(model_dir)), key=len)
    return os.path.commonpath((one, other)) == one
