"""Reading what stands in a checkpoint's directory, and telling damage from other errors."""

import contextlib
import errno
import json
import os
import re
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jaxtyping import Array, Shaped

from babeldraw.errors import UserError
from babeldraw.files import is_remote
from babeldraw.training.state import variable_name

_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL}


class Damaged(Exception):
    """A checkpoint that is not what was written; the message says how."""


@contextlib.contextmanager
def reading(path: epath.Path) -> Iterator[None]:
    """What a reader says of the checkpoint at `path` means damage, unless it could not be read.

    Raises:
      Damaged: the files are not what was written.
      UserError: rights, the disk or the network keep it from being read; it may be whole.
    """
    try:
        yield
    except (UserError, Damaged, MemoryError):
        raise
    except Exception as error:
        if "RESOURCE_EXHAUSTED" in str(error):
            raise
        reason = _why_unreadable(error) or _refused(path)
        if reason is not None:
            raise UserError(
                f"{path} cannot be read ({reason}): it may be whole, so nothing was changed; give "
                "the rights, or see to the disk or the network, and run again."
            ) from error
        raise Damaged(first_line(error)) from error


def _why_unreadable(error: BaseException) -> str | None:
    """What kept the reader from reading; None where it read, and did not find what it should."""
    number = error.errno if isinstance(error, OSError) else None
    told = re.search(r"os_error_code='(\d+)'", str(error))  # by TensorStore
    if told:
        number = int(told[1])
    if number is not None:
        return None if number in _NOT_THERE else os.strerror(number)
    status = re.search(
        "PERMISSION_DENIED|UNAUTHENTICATED|UNAVAILABLE|DEADLINE_EXCEEDED", str(error)
    )
    if status:
        return first_line(error)
    # Those of fsspec have no number.
    is_access = isinstance(error, OSError) and not isinstance(error, FileNotFoundError)
    return first_line(error) if is_access else None


def _refused(path: epath.Path) -> str | None:
    """Why a file in a local directory cannot be opened: Orbax takes such a one for missing."""
    if is_remote(path):
        return None

    def fail(error: OSError) -> None:
        raise error

    try:
        for folder, _, names in os.walk(path, onerror=fail):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    file.read(1)
    except OSError as error:
        return _why_unreadable(error)
    return None


def read_run(path: epath.Path) -> dict[str, Any]:
    """The JSON of the checkpoint at `path`."""
    run: dict[str, Any] = json.loads((path / "run" / "metadata").read_text())
    return run


def read_tree(path: epath.Path) -> Any:
    """A tree of arrays, read into the host's memory whatever devices wrote it."""
    with contextlib.closing(ocp.PyTreeCheckpointHandler()) as handler:
        tree = handler.metadata(path).tree
        to_host = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
        return handler.restore(path, args=ocp.args.PyTreeRestore(restore_args=to_host))


def by_name(tree: Any) -> dict[str, Any]:
    """Leaves by name: what is read comes in dicts, whatever containers it was written from."""
    return {variable_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def place(array: Shaped[np.ndarray, "..."], target: jax.ShapeDtypeStruct) -> Shaped[Array, "..."]:
    """The array, reshaped and on the devices, as `target` says."""
    reshaped = array.reshape(target.shape)
    return jax.make_array_from_callback(target.shape, target.sharding, lambda at: reshaped[at])


def put_host_arrays(tree: Any, shardings: Any) -> Any:
    """A tree of arrays that every host has whole, on the devices, as the shardings say."""

    def put(array: Shaped[np.ndarray, "..."], where: jax.sharding.Sharding) -> jax.Array:
        return place(array, jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=where))

    return jax.tree.map(put, tree, shardings)


def first_line(error: BaseException) -> str:
    """Of an error's message, and not more than fits a sentence."""
    line = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return line if len(line) <= 200 else f"{line[:200]}..."
