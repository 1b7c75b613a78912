"""Reading what stands in a checkpoint's directory, and telling damage from other errors."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jaxtyping import Array, Shaped

from babeldraw.errors import UserError
from babeldraw.training.state import variable_name


class Damaged(Exception):
    """A checkpoint that is not what was written; the message says how."""


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Whatever a reader says of files that were written whole means that they are so no more.

    Raises:
      Damaged: in place of those errors. One of missing rights or memory stays what it is.
    """
    try:
        yield
    except (UserError, Damaged, PermissionError, MemoryError):
        raise
    except Exception as error:
        if "RESOURCE_EXHAUSTED" in str(error):
            raise
        raise Damaged(first_line(error)) from error


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


def first_line(error: BaseException) -> str:
    """Of an error's message, and not more than fits a sentence."""
    line = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return line if len(line) <= 200 else f"{line[:200]}..."
