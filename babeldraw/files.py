"""Paths, local and remote (gs://), and files that appear whole or not at all.

Every path that a user gives goes through `path`: `epath.Path.resolve` takes a remote one for a
folder of this machine.
"""

import contextlib
import functools
import hashlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO

from etils import epath

from babeldraw.errors import UserError


def is_remote(name: str | os.PathLike[str]) -> bool:
    """Whether it is in an object store, such as gs://BUCKET/a."""
    return "://" in os.fspath(name)


def path(name: str | os.PathLike[str]) -> epath.Path:
    """A path as the program keeps it: remote as it is, local absolute."""
    if not is_remote(name):
        return epath.Path(name).expanduser().resolve()
    _list_anew(os.fspath(name).partition("://")[0])
    return epath.Path(name)


@functools.cache
def _list_anew(scheme: str) -> None:
    """Has fsspec ask a store each time what is there.

    It keeps listings otherwise, and sees nothing of what TensorStore writes after the first one.
    """
    with contextlib.suppress(ImportError):  # TensorFlow's client keeps none
        import fsspec

        fsspec.config.conf.setdefault(scheme, {})["use_listings_cache"] = False


OUTPUT = "output of Babeldraw"
"""The kind under which it is counted where data are read."""
OUTPUT_MARK = ".babeldraw-output"
"""File in a folder that Babeldraw made for what it draws or trains: no data for a later run."""


def mark_output(folder: epath.Path, *, ours: bool = False) -> None:
    """Makes the folder where it is missing, and marks it if there is nothing in it yet.

    Args:
      ours: whether it is marked whatever is in it, as a run directory is.
    """
    marked = ours or not names_in(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if marked:
        (folder / OUTPUT_MARK).write_text("Made by Babeldraw. As a part of other data, left out.\n")


def take_outputs(folder: str | os.PathLike[str], subfolders: list[str]) -> list[str]:
    """Takes marked ones out of `subfolders` (as `os.walk` lists them, to go on without them)."""
    marked = [
        name for name in subfolders if os.path.exists(os.path.join(folder, name, OUTPUT_MARK))
    ]
    subfolders[:] = [name for name in subfolders if name not in marked]
    return marked


def names_in(directory: str | os.PathLike[str]) -> list[str] | None:
    """Of what lies in a directory; None where there is no such directory.

    `is_dir` and `exists` say no as well where the rights are missing or a bucket does not answer.

    Raises:
      UserError: it cannot be listed, so that nobody knows what is in it.
    """
    try:
        return [entry.name for entry in path(directory).iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:  # of the system, of TensorFlow or of fsspec
        if type(error).__name__ == "NotFoundError":
            return None
        reason = getattr(error, "strerror", None) or (str(error) or repr(error)).splitlines()[0]
        raise UserError(
            f"{directory} cannot be listed ({reason}): give the rights to read it, or wait until "
            "its disk or bucket answers, and run again."
        ) from error


def unanswered(error: BaseException) -> str | None:
    """What kept an object store from answering; None where `error` is of something else."""
    library = type(error).__module__.partition(".")[0]
    said = (str(error) or repr(error)).splitlines()[0]
    of_a_client = library in ("aiohttp", "gcsfs", "google", "requests")
    # TensorFlow's client has no errors of its own.
    return said if of_a_client or "Error executing an HTTP request" in said else None


def local_copy(name: str | os.PathLike[str]) -> pathlib.Path:
    """The path of a small file for libraries that read local ones: of a remote one, a copy.

    The copy lies in the cache, under a hash of what is in it.
    """
    if not is_remote(name):
        return pathlib.Path(name)
    data = path(name).read_bytes()
    digest = hashlib.sha256(data).hexdigest()[:16]
    copy = cache_dir() / "copies" / f"{digest}-{path(name).name}"
    if not copy.exists():
        with written_whole(copy, "set BABELDRAW_CACHE_DIR to a folder that can be") as file:
            file.write(data)
    return copy


def files_under(folder: epath.Path | pathlib.Path) -> Iterator[Any]:
    """All files of a folder and its subfolders, in no order.

    Raises:
      OSError: it cannot be listed.
    """
    if not is_remote(folder):
        yield from (found for found in folder.rglob("*") if found.is_file())
        return
    with contextlib.suppress(ImportError):  # without gcsfs, TensorFlow's client
        import fsspec

        store, key = fsspec.core.url_to_fs(os.fspath(folder))
        scheme = os.fspath(folder).partition("://")[0]
        yield from (path(f"{scheme}://{found}") for found in store.find(key))
        return
    entries = list(path(folder).iterdir())
    for entry in entries:
        if entry.is_dir():
            yield from files_under(entry)
        else:
            yield entry


@functools.lru_cache(maxsize=65536)
def local_shard(name: str) -> str:
    """As `local_copy` of a large file: it is copied once, as long as size and date stay."""
    if not is_remote(name):
        return name
    key = hashlib.sha256(version(name).encode()).hexdigest()[:16]
    copy = cache_dir() / "copies" / f"{key}-{path(name).name}"
    if not copy.exists():
        advice = "set BABELDRAW_CACHE_DIR to a folder with room for the shards"
        with path(name).open("rb") as remote, written_whole(copy, advice) as file:
            shutil.copyfileobj(remote, file, 2**24)
    return str(copy)


def version(name: str | os.PathLike[str]) -> str:
    """Of a file: its name, size and date, another text where it has changed."""
    if is_remote(name):
        found = path(name).stat()
        return f"{os.fspath(name)}:{found.length}:{found.mtime}"
    stat = os.stat(name)
    return f"{pathlib.Path(name).resolve()}:{stat.st_size}:{stat.st_mtime_ns}"


def read_range(name: str, offset: int, size: int | None) -> bytes:
    """`size` bytes of a file from `offset` on; None: all.

    Raises:
      OSError: it cannot be read.
    """
    if is_remote(name):
        with contextlib.suppress(ImportError):  # without gcsfs, TensorFlow's client
            import fsspec

            store, key = fsspec.core.url_to_fs(name)
            end = None if size is None else offset + size
            part: bytes = store.cat_file(key, offset, end)
            return part
    with (path(name) if is_remote(name) else pathlib.Path(name)).open("rb") as file:
        file.seek(offset)
        read: bytes = file.read(-1 if size is None else size)
        return read


def cache_dir() -> pathlib.Path:
    """Where Babeldraw keeps what it can make again: BABELDRAW_CACHE_DIR or ~/.cache/babeldraw."""
    return pathlib.Path(os.environ.get("BABELDRAW_CACHE_DIR") or "~/.cache/babeldraw").expanduser()


@contextlib.contextmanager
def written_whole(
    name: str | os.PathLike[str], advice: str = "choose another --output"
) -> Iterator[BinaryIO]:
    """A file to write, which takes its name only at the end; makes its folder where needed.

    Raises:
      UserError: it cannot be written.
    """
    with renamed_when_whole(name, advice) as temporary, temporary.open("wb") as file:
        yield file


@contextlib.contextmanager
def renamed_when_whole(name: str | os.PathLike[str], advice: str) -> Iterator[pathlib.Path]:
    """The path of a local file to write, which becomes `name` at the end.

    It lies beside `name`, to be renamed; for a remote one in a temporary folder, to be copied:
    object stores show an object when all of it is there.

    Raises:
      UserError: it cannot be written; `advice` ends the sentence.
    """
    target = path(name)
    try:
        with contextlib.ExitStack() as stack:
            if is_remote(name):
                folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            else:
                folder = pathlib.Path(target.parent)
                folder.mkdir(parents=True, exist_ok=True)
            # Processes of other hosts and containers write here too, and may have this number.
            temporary = folder / f".partial-{os.getpid()}-{os.urandom(4).hex()}"
            try:
                yield temporary
                if is_remote(name):
                    with temporary.open("rb") as written, target.open("wb") as remote:
                        shutil.copyfileobj(written, remote)
                else:
                    temporary.replace(target)
            finally:
                with contextlib.suppress(OSError):  # gone already, if all went well
                    temporary.unlink()
    except OSError as error:
        raise UserError(
            f"{name} cannot be written ({error.strerror or error}); {advice}."
        ) from error
