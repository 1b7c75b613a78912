"""Where trained networks run: on the mesh that their parameters lie on, by `drawing_rules`.

Every process calls the same with the same host arrays, puts its own rows of them onto its devices,
and gets whole results back.
"""

import contextlib
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Shaped

from babeldraw.parallel.mesh import one_device
from babeldraw.parallel.rules import batch_sharding, drawing_rules, placing, replicated


def mesh_of(params: Any) -> Mesh:
    """The mesh of parameters that lie on one; of any others, one device of this process."""
    for leaf in jax.tree.leaves(params):
        sharding = getattr(leaf, "sharding", None)
        if isinstance(sharding, NamedSharding) and isinstance(sharding.mesh, Mesh):
            return sharding.mesh
    return one_device()


def running_on(mesh: Mesh) -> contextlib.AbstractContextManager[None]:
    """Within it, programs for drawing are traced and run."""
    return placing(mesh, drawing_rules())


def input_sharding(shape: tuple[int, ...], mesh: Mesh) -> NamedSharding:
    """Of a program's input: split by rows, but a scalar is everywhere."""
    return batch_sharding(mesh, drawing_rules()) if shape else replicated(mesh)


def put_input(array: Shaped[np.ndarray, "..."], mesh: Mesh) -> Shaped[Array, "..."]:
    """An input on the mesh; its rows divide by `parallel.rules.batch_groups`."""
    sharding = input_sharding(array.shape, mesh)
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def put_params(params: Any, mesh: Mesh) -> Any:
    """Parameters on the mesh: what lies there stays, anything else is copied to every device."""

    def put(leaf: Any) -> Any:  # of a plan a shape, which lies there
        there = getattr(getattr(leaf, "sharding", None), "mesh", None) == mesh
        return leaf if there else jax.device_put(leaf, replicated(mesh))

    return jax.tree.map(put, params)


def fetch(tree: Any) -> Any:
    """Whole host arrays of what a program gave, in every process that ran it."""

    def one(leaf: jax.Array) -> np.ndarray:
        if leaf.is_fully_addressable or leaf.is_fully_replicated:
            return np.asarray(leaf)
        whole: np.ndarray = multihost_utils.process_allgather(leaf, tiled=True)
        return whole

    return jax.tree.map(one, tree)
