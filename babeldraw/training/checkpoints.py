"""Checkpoints of a run, by Orbax: written in the background, read onto any mesh.

model_dir/checkpoints/STEP/params            what sampling needs
model_dir/checkpoints/STEP/optimizer_state
model_dir/checkpoints/STEP/run               JSON: seed, and every variable's shape and dtype
model_dir/constants                          frozen networks, written once

A pipelined stack is written as it is held, `[rounds, layers a round, ...]`. The JSON names its
shape with the layers in one axis, which is what every other machine and sampling read it as.
"""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from babeldraw.errors import UserError
from babeldraw.objectives.base import Constants, Params
from babeldraw.training.state import TrainState, Variable, variable_name


class Checkpoints:
    """The checkpoints of one run directory, for the loop that writes them."""

    def __init__(self, model_dir: str, *, keep: int, seed: int, variables: list[Variable]) -> None:
        self._directory = epath.Path(model_dir).resolve() / "checkpoints"
        self._identity: dict[str, Any] = {
            "seed": seed,
            "variables": {
                v.name: f"{jnp.dtype(v.dtype).name}{list(v.sequential_shape)}" for v in variables
            },
        }
        self._manager = ocp.CheckpointManager(
            self._directory, options=ocp.CheckpointManagerOptions(max_to_keep=keep)
        )

    def latest_step(self) -> int | None:
        """The step of the latest whole checkpoint, None where there is none."""
        return self._manager.latest_step()

    def save(self, step: int, state: TrainState) -> None:
        """Copies the state to the host, then writes it in the background."""
        if step == self.latest_step():
            return
        self._manager.save(
            step,
            args=ocp.args.Composite(
                params=ocp.args.StandardSave(state.params),
                optimizer_state=ocp.args.StandardSave(state.optimizer_state),
                run=ocp.args.JsonSave(self._identity),
            ),
        )

    def restore(self, step: int, target: TrainState) -> TrainState:
        """The state of `step`, placed as the `jax.ShapeDtypeStruct`s of `target` say.

        Raises:
          UserError: the checkpoint is of another recipe or seed.
        """
        run = self._manager.restore(step, args=ocp.args.Composite(run=ocp.args.JsonRestore()))
        self._check_identity(run["run"])
        return TrainState(
            step=jax.device_put(np.int32(step), target.step.sharding),
            params=self._restore_item(step, "params", target.params),
            optimizer_state=self._restore_item(step, "optimizer_state", target.optimizer_state),
        )

    def _restore_item(self, step: int, name: str, target: Any) -> Any:
        path = self._directory / str(step) / name
        with ocp.PyTreeCheckpointer() as checkpointer:
            written = checkpointer.metadata(path).item_metadata.tree
        shapes = {key: tuple(leaf.shape) for key, leaf in _by_name(written).items()}
        if all(shapes[key] == leaf.shape for key, leaf in _by_name(target).items()):
            args = ocp.args.Composite(**{name: ocp.args.StandardRestore(target)})
            return self._manager.restore(step, args=args)[name]
        # Another division into stages: through the host's memory, which has to hold all of it.
        arrays = _by_name(_read(path))
        placed = {key: _place(arrays[key], leaf) for key, leaf in _by_name(target).items()}
        return jax.tree.unflatten(jax.tree.structure(target), placed.values())

    def _check_identity(self, found: dict[str, Any]) -> None:
        fix = "give another model_dir, or the recipe that it was started with."
        ours, theirs = self._identity["variables"], found["variables"]
        for name in [*ours, *theirs]:
            if ours.get(name) != theirs.get(name):
                raise UserError(
                    f"{self._directory} is of another recipe: its {name} is "
                    f"{theirs.get(name, 'missing')} and this recipe's is "
                    f"{ours.get(name, 'missing')}; {fix}"
                )
        if found["seed"] != self._identity["seed"]:
            raise UserError(
                f"{self._directory} was started with seed {found['seed']}, and this run has seed "
                f"{self._identity['seed']}; {fix}"
            )

    def wait(self) -> None:
        """Returns when all that was saved is on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits for the writing to end and frees its threads."""
        self._manager.close()


def latest_step(model_dir: str) -> int:
    """The step of the latest checkpoint of a run directory.

    Raises:
      UserError: there is no such directory, or no checkpoint in it.
    """
    directory = epath.Path(model_dir).resolve() / "checkpoints"
    # Orbax writes a checkpoint under another name and renames it when it is whole.
    steps = (
        [int(path.name) for path in directory.iterdir() if path.name.isdigit()]
        if (directory.is_dir())
        else []
    )
    if not steps:
        raise UserError(
            f"There is no checkpoint in {model_dir}: give the directory of a run that saved one."
        )
    return max(steps)


def load_params(model_dir: str, step: int | None = None) -> dict[str, Params]:
    """Parameters of every player, as host arrays: for sampling, and for frozen networks.

    Args:
      model_dir: the run directory.
      step: of the checkpoint; the latest by default.

    Raises:
      UserError: there is no such checkpoint.
    """
    latest = latest_step(model_dir)
    step = latest if step is None else step
    path = epath.Path(model_dir).resolve() / "checkpoints" / str(step) / "params"
    if not path.is_dir():
        raise UserError(f"{model_dir} has no checkpoint of step {step}: its latest is {latest}.")
    run = json.loads((path.parent / "run" / "metadata").read_text())

    def sequential(keys: tuple[Any, ...], array: np.ndarray) -> np.ndarray:
        described = run["variables"][f"params/{variable_name(keys)}"]
        return array.reshape(json.loads(described[described.index("[") :]))

    return jax.tree_util.tree_map_with_path(sequential, _read(path))


def save_constants(model_dir: str, constants: Constants) -> None:
    """Writes the parameters of frozen networks, at the start of a run and never again."""
    path = epath.Path(model_dir).resolve() / "constants"
    # What stands there already is of a run that saved no checkpoint.
    if jax.tree.leaves(constants):
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(path, jax.tree.map(np.asarray, constants), force=True)
    elif path.is_dir() and jax.process_index() == 0:
        path.rmtree()


def load_constants(model_dir: str) -> Constants:
    """What `save_constants` wrote, as host arrays; `{}` where the run has no frozen network.

    Raises:
      UserError: there is no such run directory.
    """
    if not epath.Path(model_dir).is_dir():
        raise UserError(f"There is no run directory {model_dir}: give the model_dir of a run.")
    path = epath.Path(model_dir).resolve() / "constants"
    return _read(path) if path.is_dir() else {}


def load_networks(model_dir: str, step: int | None = None) -> dict[str, Params]:
    """Every network of a run, trained or frozen, by name: host arrays.

    A network that a run trains in part is put together from its parameters and its constants.

    Raises:
      UserError: there is no such checkpoint.
    """
    return _merge(load_constants(model_dir), load_params(model_dir, step))


def load_tokenizer(model_dir: str, step: int | None = None) -> Params:
    """Parameters of the ViT-VQGAN of a run: the averaged ones where the run has kept averages.

    Raises:
      UserError: there is no such checkpoint, or no tokenizer in it.
    """
    networks = load_networks(model_dir, step)
    if "tokenizer" not in networks:
        raise UserError(
            f"{model_dir} holds no tokenizer: give the directory of a tokenizer run, such as "
            "TOKENIZER_CHECKPOINT='runs/tokenizer'."
        )
    return {**networks["tokenizer"], **networks.get("tokenizer_ema", {})}


def _merge(first: Any, second: Any) -> Any:
    """Union of two nested dicts of arrays that share no leaf."""
    if not isinstance(first, dict):
        return second
    both = {name: _merge(first[name], second[name]) for name in first.keys() & second.keys()}
    return {**first, **second, **both}


def _place(array: np.ndarray, target: jax.ShapeDtypeStruct) -> jax.Array:
    reshaped = array.reshape(target.shape)
    return jax.make_array_from_callback(target.shape, target.sharding, lambda at: reshaped[at])


def _by_name(tree: Any) -> dict[str, Any]:
    """Leaves by name: what is read comes in dicts, whatever containers it was written from."""
    return {variable_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _read(path: epath.Path) -> Any:
    """A tree of arrays, read into the host's memory whatever devices wrote it."""
    with ocp.PyTreeCheckpointer() as checkpointer:
        tree = checkpointer.metadata(path).item_metadata.tree
        to_host = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
        return checkpointer.restore(path, restore_args=to_host)
