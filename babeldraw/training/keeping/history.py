"""A run directory that has lost its checkpoints is not begun anew without being asked."""

import json

from babeldraw import files
from babeldraw.errors import UserError
from babeldraw.training import agreement

_RECORDS = {"metrics.jsonl", "config.gin", "model-info.txt"}


def refuse_to_begin_anew(model_dir: str) -> None:
    """To be called before anything is written, by all processes.

    The folder of checkpoints is made before any record is, and so is missing only where somebody
    has removed it. In an object store there are no folders: there the records have to tell of so
    many steps that a checkpoint was saved.

    Raises:
      UserError: there are records of a run and no checkpoints, or one of both cannot be read.
    """
    agreement.by_first(lambda: _refuse(model_dir))


def _refuse(model_dir: str) -> None:
    directory = files.path(model_dir)
    names = set(files.names_in(directory) or [])
    records = names & _RECORDS
    checkpoints = files.names_in(directory / "checkpoints")
    if not records or any(name.isdigit() for name in checkpoints or []):
        return
    step = _last_step(model_dir) if "metrics.jsonl" in records else 0
    every = _checkpoint_every(model_dir) if "machine.json" in names else 0
    # A save waits for the one before it, and a step is recorded before its save: where the third is
    # recorded, the second has begun, and the first is whole.
    is_lost = checkpoints is None and not files.is_remote(model_dir)
    if not is_lost and not (every and step >= 3 * every):
        return
    raise UserError(
        f"{model_dir} has records of a run ({', '.join(sorted(records))}; step {step}) and no "
        "checkpoints: bring its checkpoints/ back from a copy, give another model_dir, or set "
        "loop.train.begin_anew=True to begin there at step 0."
    )


def _last_step(model_dir: str) -> int:
    lines = (files.path(model_dir) / "metrics.jsonl").read_text().splitlines()
    try:
        return max((json.loads(line)["step"] for line in lines if line), default=0)
    except (ValueError, KeyError):  # a line that was not finished
        return 0


def _checkpoint_every(model_dir: str) -> int:
    try:
        machine = json.loads((files.path(model_dir) / "machine.json").read_text())
        return int(machine["checkpoint_every"])
    except (ValueError, KeyError, TypeError):
        return 0
