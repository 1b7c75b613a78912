"""Checkpoints as the loop writes and restores them, by Orbax: in the background, onto any mesh.

What they hold is said in checkpoints.py.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from babeldraw.errors import UserError
from babeldraw.files import path
from babeldraw.training import agreement
from babeldraw.training.keeping import checkpoint_files as files
from babeldraw.training.keeping import claim
from babeldraw.training.keeping.fingerprint import Fingerprints, differing, fingerprint_arrays
from babeldraw.training.state import TrainState, Variable


class Checkpoints:
    """The checkpoints of one run directory, for the loop that writes them.

    Of a checkpoint that a killed process was writing there is a directory under another name,
    which is removed; so what has a step's name is whole, unless something damaged it later.
    """

    def __init__(self, model_dir: str, *, keep: int, seed: int, variables: list[Variable]) -> None:
        self._model_dir = model_dir
        self._failed = False
        self._directory = path(model_dir) / "checkpoints"
        self._identity: dict[str, Any] = {
            "seed": seed,
            "variables": {
                v.name: f"{jnp.dtype(v.dtype).name}{list(v.sequential_shape)}" for v in variables
            },
        }
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, cleanup_tmp_directories=True)
        with self._writing():
            self._manager = ocp.CheckpointManager(self._directory, options=options)

    def latest_step(self) -> int | None:
        """The step of the latest whole checkpoint, None where there is none."""
        step: int | None = self._manager.latest_step()
        return step

    def save(self, step: int, state: TrainState) -> None:
        """Copies the state to the host, then writes it in the background.

        Raises:
          UserError: this or the previous checkpoint could not be written.
        """
        if step == self.latest_step():
            return
        run = {**self._identity, "fingerprints": fingerprint_arrays(_variables(state))}
        with self._writing():
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    params=ocp.args.StandardSave(state.params),
                    optimizer_state=ocp.args.StandardSave(state.optimizer_state),
                    run=ocp.args.JsonSave(run),
                ),
            )

    def restore_latest(self, target: TrainState) -> TrainState | None:
        """The latest state that can be read, placed as the `jax.ShapeDtypeStruct`s of `target` say.

        Damaged checkpoints after it are moved to model_dir/damaged, and named. None where there is
        no checkpoint.

        Raises:
          UserError: the checkpoint is of another recipe or seed, or rights or the disk keep it from
            being read, or all are damaged: then they are left as they are.
        """
        faults: dict[int, str] = {}
        for step in sorted(self._manager.all_steps(), reverse=True):
            state, fault = None, None
            number = jax.device_put(np.int32(step), target.step.sharding)  # By all processes.
            try:
                state, written = self._read(step, target)
                state = state.replace(step=number)
            except files.Damaged as error:
                fault = str(error)
            # Hosts read different parts of it: what one cannot read, none goes on from.
            fault = agreement.first_fault(fault)
            if fault is None and state is not None:
                others = differing(fingerprint_arrays(_variables(state)), written)
                if not others:
                    self._set_aside(faults, step)
                    return state
                fault = f"{others[0]} is not what was saved"
            faults[step] = str(fault)
        if not faults:
            return None
        said = "; ".join(f"that of step {step}: {fault}" for step, fault in faults.items())
        raise UserError(
            f"No checkpoint in {self._directory} can be read ({said}): bring them back from a "
            "copy, or give another model_dir to begin again."
        )

    def _read(self, step: int, target: TrainState) -> tuple[TrainState, Fingerprints]:
        """The state of `step` but its number, and the fingerprints that were written with it.

        Raises:
          Damaged: it is not what was written.
          UserError: it is of another recipe or seed, or cannot be read.
        """
        with files.reading(self._directory / str(step)):
            run = files.read_run(self._directory / str(step))
            self._check_identity(run)
            state = TrainState(
                step=target.step,
                params=self._restore_item(step, "params", target.params),
                optimizer_state=self._restore_item(step, "optimizer_state", target.optimizer_state),
            )
            return state, run.get("fingerprints", {})

    def _set_aside(self, faults: dict[int, str], good: int) -> None:
        for step, fault in faults.items():
            if jax.process_index() == 0:
                place = self._directory.parent / "damaged" / str(step)
                with self._writing():
                    place.parent.mkdir(exist_ok=True)
                    while place.exists():  # From an earlier time.
                        place = place.parent / f"{place.name}-again"
                    (self._directory / str(step)).rename(place)
                print(
                    f"the checkpoint of step {step} is damaged ({fault}): moved to {place}; going "
                    f"on from step {good}",
                    flush=True,
                )
        if faults:
            agreement.wait_for_all("damaged checkpoints moved")
            self._manager.reload()

    def _restore_item(self, step: int, name: str, target: Any) -> Any:
        path = self._directory / str(step) / name
        with contextlib.closing(ocp.StandardCheckpointHandler()) as handler:
            written = files.by_name(handler.metadata(path))
            wanted = files.by_name(target)
            if all(tuple(written[key].shape) == leaf.shape for key, leaf in wanted.items()):
                # Not by the manager: it would wait for a process that could not read its part.
                return handler.restore(path, args=ocp.args.StandardRestore(target))
        # Another division into stages: through the host's memory, which has to hold all of it.
        arrays = files.by_name(files.read_tree(path))
        placed = {key: files.place(arrays[key], leaf) for key, leaf in wanted.items()}
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
        """Returns when all that was saved is on disk.

        Raises:
          UserError: it could not be written.
        """
        with self._writing():
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits for the writing to end and frees its threads; not after a failure.

        Orbax would wait for five minutes for the rest of what could not be written.
        """
        if not self._failed:
            with self._writing():
                self._manager.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Orbax and TensorStore wrap what the system said in errors of several kinds."""
        try:
            yield
        except Exception as error:
            self._failed = True
            cause = files.first_line(error)
            raise UserError(
                claim.refusal(self._model_dir, error)
                or f"A checkpoint could not be written to {self._directory} ({cause}): mend that "
                "and run again, which goes on from the last whole checkpoint."
            ) from error


def _variables(state: TrainState) -> dict[str, Any]:
    """All arrays of a state but its step, which is the checkpoint's name."""
    return files.by_name({"params": state.params, "optimizer_state": state.optimizer_state})
