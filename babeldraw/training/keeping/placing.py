"""A run's networks, restored onto the mesh that is to draw with them.

Orbax reads what each device holds and nothing else: a model that no host's memory takes is restored
by hosts that each hold a part of it.
"""

import contextlib
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Shaped

from babeldraw.errors import UserError
from babeldraw.objectives.base import Objective, Params
from babeldraw.parallel.execution import Execution
from babeldraw.parallel.rules import INFERENCE_RULES, replicated
from babeldraw.training.keeping import checkpoint_files, checkpoints
from babeldraw.training.keeping.fingerprint import differing, fingerprint_arrays
from babeldraw.training.state import describe_params, variable_name


def place_networks(
    model_dir: str, objective: Objective, mesh: Mesh, step: int | None = None
) -> dict[str, Params]:
    """As `checkpoints.load_networks`, on `mesh`: trained networks lie as INFERENCE_RULES say.

    Frozen networks are read by every host, and lie as their stage says (`constant_shardings`). To
    be called by all processes of the mesh.

    Raises:
      UserError: there is no such checkpoint, it is damaged or of another recipe, or the mesh does
        not divide it.
    """
    constants = checkpoints.load_constants(model_dir)
    where = objective.constant_shardings(constants, mesh, INFERENCE_RULES)
    constants = checkpoint_files.put_host_arrays(constants, where)
    networks: dict[str, Params] = checkpoints.merge(
        constants, _place_params(model_dir, objective, mesh, step)
    )
    return networks


def _place_params(
    model_dir: str, objective: Objective, mesh: Mesh, step: int | None
) -> dict[str, Params]:
    in_order = describe_params(objective.with_execution(Execution()), mesh, INFERENCE_RULES)
    described = {variable.name: variable for variable in in_order}
    with (
        checkpoints.reading(model_dir, step) as (path, run),
        contextlib.closing(ocp.StandardCheckpointHandler()) as handler,
    ):

        def target(keys: tuple[Any, ...], written: Any) -> jax.ShapeDtypeStruct:
            """As it was written: a pipelined stack has one leading axis more."""
            name = f"params/{variable_name(keys)}"
            shape, variable = checkpoints.sequential_shape(run, name), described.get(name)
            if variable is None:
                sharding = replicated(mesh)
            elif list(variable.shape) != shape:
                raise UserError(
                    f"{model_dir} is of another recipe: its {name} is {shape} and that of its "
                    f"settings {list(variable.shape)}; bring back the settings that it had."
                )
            else:
                more = (None,) * (len(written.shape) - len(shape))
                sharding = NamedSharding(mesh, PartitionSpec(*more, *variable.sharding.spec))
            return jax.ShapeDtypeStruct(written.shape, written.dtype, sharding=sharding)

        targets = jax.tree_util.tree_map_with_path(target, handler.metadata(path).tree)
        restored = handler.restore(path, args=ocp.args.StandardRestore(targets))
        arrays = {f"params/{key}": leaf for key, leaf in checkpoint_files.by_name(restored).items()}
        others = differing(fingerprint_arrays(arrays), run.get("fingerprints", {}))
        if others:
            raise checkpoint_files.Damaged(f"{others[0]} is not what was saved")

        def sequential(keys: tuple[Any, ...], array: jax.Array) -> jax.Array:
            shape = checkpoints.sequential_shape(run, f"params/{variable_name(keys)}")
            return array if list(array.shape) == shape else _in_order(array, tuple(shape))

        params: dict[str, Params] = jax.tree_util.tree_map_with_path(sequential, restored)
        return params


def _in_order(array: Shaped[Array, "..."], shape: tuple[int, ...]) -> Shaped[Array, "..."]:
    """A pipelined stack `[rounds, layers a round, ...]` as `[layers, ...]`, where it lies."""
    placed = array.sharding
    assert isinstance(placed, NamedSharding), "as it was restored"
    sharding = NamedSharding(placed.mesh, PartitionSpec(*placed.spec[1:]))
    reshaped: jax.Array = jax.jit(lambda x: x.reshape(shape), out_shardings=sharding)(array)
    array.delete()  # One stack of one name is held twice at a time, no more.
    return reshaped
