"""Run directories by their path, or by that of a folder that holds some: nothing heavy."""

import difflib
import json
import os

from babeldraw.errors import UserError
from babeldraw.files import is_remote, names_in, path

SHOWN = 8
"""Runs that a message names."""
MOST_FOLDERS = 500
"""Looked into at most, where a name is no run's."""

EXPORTED, EXPORTED_FORMAT = "config.json", "babeldraw-model"
"""The file by which an exported model is known (see `exporting.folder`), and its format."""


def is_run(name: str) -> bool:
    """Whether a run can be read there, or one of before its settings were data."""
    return any((path(name) / file).exists() for file in ("settings.json", "config.gin"))


def is_exported(name: str) -> bool:
    """Whether the folder says that it is a model of `babeldraw export`."""
    try:
        return f'"{EXPORTED_FORMAT}"'.encode() in (path(name) / EXPORTED).read_bytes()
    except OSError:
        return False


def runs_in(name: str) -> list[str]:
    """The run directory itself; or those in it, or one folder deeper, as `name` with what follows.

    Raises:
      UserError: a folder cannot be listed.
    """
    if is_run(name):
        return [name]
    folders = [name]
    for _ in range(2):
        folders = [inside for folder in folders for inside in _folders_in(folder)]
        found = [folder for folder in folders if is_run(folder)]
        if found:
            return found
    return []


def require_run(name: str) -> None:
    """Whether there is a run or an exported model to read, asked before what reads it is imported.

    Raises:
      UserError: there is none; names the closest that there is.
    """
    if is_exported(name) or runs_in(name):
        return
    beside = [] if is_remote(name) else runs_in(os.path.dirname(name.rstrip("/")) or ".")
    around = dict.fromkeys([*map(os.path.dirname, beside), *beside])
    close = difflib.get_close_matches(name, around, n=1)
    advice = "give the --model_dir of a `babeldraw train` run."
    raise UserError(
        f"{name} is not a run directory (it has no settings.json, and no run inside); "
        + (f"did you mean {close[0]}?" if close else advice)
    )


def refuse_exported(name: str) -> None:
    """Raises a `UserError` that names the run of an exported model, where it takes a run."""
    if not is_exported(name):
        return
    try:
        source = json.loads((path(name) / EXPORTED).read_bytes())["source"]["run"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        source = "its config.json does not say which"
    raise UserError(
        f"{name} is an exported model, which has neither its data nor the settings of its "
        f"training; give the run directory that it was exported from ({source})."
    )


def objective_of(name: str) -> str:
    """The class of a run's objective, as its settings have it; "" where they do not say."""
    try:
        return str(json.loads((path(name) / "settings.json").read_bytes())["objective"]["class"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return ""


def named(runs: list[str]) -> str:
    """For a message: each with what it trains."""
    kinds = [(run, objective_of(run).rpartition(".")[2]) for run in runs[:SHOWN]]
    shown = ", ".join(f"{run} ({kind})" if kind else run for run, kind in kinds)
    return shown + (f" and {len(runs) - SHOWN} more" if len(runs) > SHOWN else "")


def _folders_in(name: str) -> list[str]:
    inside = sorted(names_in(name) or [])
    joined = [f"{name.rstrip('/') or '/'}/{entry}" for entry in inside if not entry.startswith(".")]
    return [entry.removeprefix("./") for entry in joined[:MOST_FOLDERS] if path(entry).is_dir()]
