"""What a command has compiled is kept: the next start loads it.

JAX's compilation cache, in a folder of the user's own under `files.cache_dir`. A program that comes
out of it is the one that went in, bit for bit; its name is a hash of all that decides it: the
program, its options, XLA's flags, the versions, and the device with its features. What is in the
folder is run as it stands, hence nobody else may write there.

`JAX_ENABLE_COMPILATION_CACHE=false` turns it off. Where `JAX_COMPILATION_CACHE_DIR` names a folder,
that one is JAX's affair, with JAX's own settings.
"""

import os
import pathlib
import stat
import sys
import time

from babeldraw.files import cache_dir

FOLDER, SWITCH = "JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE"
_OFF = ("0", "f", "false", "n", "no", "off")  # as JAX reads it

MAX_BYTES = 4 * 2**30
"""Of all programs together. JAX deletes those that were not used for longest."""

SETTINGS = {
    "JAX_COMPILATION_CACHE_MAX_SIZE": str(MAX_BYTES),
    # Small ones as well.
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}

_WRITING = 60  # seconds, at most, from a program's file to that of its time


class _Refused(Exception):
    """Why the folder does not serve, as a part of a sentence."""


def keep_programs() -> None:
    """Has JAX keep programs, by its environment: to be called before it is imported.

    A folder that cannot serve is told on stderr, and nothing is kept.
    """
    if FOLDER in os.environ or os.environ.get(SWITCH, "").lower() in _OFF:
        return
    try:
        folder = _own_folder()
    except _Refused as refused:
        print(
            f"warning: compiled programs are not kept: {refused}; set BABELDRAW_CACHE_DIR to a "
            f"folder of your own, or {SWITCH}=false to do without.",
            file=sys.stderr,
        )
        return
    _drop_unfinished(folder)
    os.environ[FOLDER] = str(folder)
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)


def _own_folder() -> pathlib.Path:
    """The folder, made where it is missing.

    Raises:
      _Refused: it cannot be written, or others may write there.
    """
    try:
        folder = cache_dir().absolute() / "programs"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise _Refused(f"{error.filename} cannot be written ({error.strerror})") from error
    except RuntimeError as error:  # no home
        raise _Refused(f"~/.cache cannot be found ({error})") from error
    if found.st_uid != os.geteuid():
        raise _Refused(f"{folder} belongs to another user, whose programs would be run")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _Refused(f"others may write into {folder}, whose programs are run")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _Refused(f"{folder} cannot be written")
    return folder


def _drop_unfinished(folder: pathlib.Path) -> None:
    """Deletes what a process that was killed wrote in part.

    The time of a program's last use is written after it; without, JAX deletes nothing any more.
    """
    for program in folder.glob("*-cache"):
        used = program.with_name(program.name.removesuffix("cache") + "atime")
        if not used.exists() and time.time() - program.stat().st_mtime > _WRITING:
            program.unlink(missing_ok=True)
