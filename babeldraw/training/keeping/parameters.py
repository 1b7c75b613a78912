"""Some of a checkpoint's parameters, read without the rest."""

import contextlib
import json
from collections.abc import Collection
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import Shaped

from babeldraw.training.keeping import checkpoint_files, checkpoints
from babeldraw.training.keeping.fingerprint import fingerprint_host_array
from babeldraw.training.state import variable_name

_PREFIX = "params/"


def describe(model_dir: str, step: int) -> dict[str, jax.ShapeDtypeStruct]:
    """What each parameter is, by name (`PLAYER/...`), the layers of a stack in one axis.

    Raises:
      UserError: there is no such checkpoint, or it cannot be read.
    """
    with checkpoints.reading(model_dir, step) as (_, run):
        return {
            name.removeprefix(_PREFIX): _described(told)
            for name, told in run["variables"].items()
            if name.startswith(_PREFIX)
        }


def _described(told: str) -> jax.ShapeDtypeStruct:
    """Of `float32[4, 16]`."""
    dtype, bracket, shape = told.partition("[")
    return jax.ShapeDtypeStruct(tuple(json.loads(bracket + shape)), np.dtype(dtype))


def read(model_dir: str, step: int, names: Collection[str]) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Parameters of these names, in the host's memory; nothing else of the checkpoint is read.

    Raises:
      UserError: there is no such checkpoint, or what is read of it is damaged.
    """
    with (
        checkpoints.reading(model_dir, step) as (path, run),
        contextlib.closing(ocp.PyTreeCheckpointHandler()) as handler,
    ):
        tree = handler.metadata(path).tree
        to_host = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)

        def asked(keys: tuple[Any, ...], leaf: Any) -> Any:
            return leaf if variable_name(keys) in names else ocp.PLACEHOLDER

        some = jax.tree_util.tree_map_with_path(asked, tree)
        arguments = ocp.args.PyTreeRestore(item=some, restore_args=to_host)
        found = checkpoint_files.by_name(handler.restore(path, args=arguments))
        arrays = {}
        for name in names:
            array, written = found[name], run.get("fingerprints", {}).get(_PREFIX + name)
            if written not in (None, fingerprint_host_array(array)):
                raise checkpoint_files.Damaged(f"{_PREFIX}{name} is not what was saved")
            arrays[name] = array.reshape(checkpoints.sequential_shape(run, _PREFIX + name))
        return arrays
