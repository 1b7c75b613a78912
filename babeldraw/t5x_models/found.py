"""T5X's own sources: where they are, of which commit, and whether they have what is used of them.

T5X and two packages that it imports are on no package index: one clones them beside each other and
names the folder around them in BABELDRAW_T5X_DIR, or puts the three clones on PYTHONPATH.
"""

import importlib
import importlib.util
import os
import pathlib
import subprocess
import sys

from babeldraw.errors import UserError

VARIABLE = "BABELDRAW_T5X_DIR"
REPOSITORIES = {
    "t5x": "cc342d419ec3e3e9c4bf1df33c82330cafdc1e16",
    "airio": "69897df7d9a427b947a9f7bb4164c7782b43e601",
    "jestimator": "326824a477feef6d92e6f44175000907a72899ca",
}
"""Of google-research and google on GitHub, and the commits that the tests were run with."""

USED = {
    "t5x.models": ("BaseModel",),
    "t5x.trainer": ("Trainer",),
    "t5x.trainer.Trainer": ("_get_step_rng",),
    "t5x.partitioning": ("PjitPartitioner",),
    "t5x.partitioning.PjitPartitioner": ("mesh", "partition", "logical_axis_rules"),
    "t5x.optimizers": ("OptimizerDef", "OptimizerState"),
    "t5x.metrics": ("TimeRate", "StepsPerTime"),
    "t5x.utils": ("DatasetConfig", "CheckpointConfig", "SaveCheckpointConfig"),
}


def put_on_path() -> None:
    """Puts the clones that `BABELDRAW_T5X_DIR` names before all else that is imported.

    Raises:
      UserError: there is no T5X, neither there nor installed.
    """
    if not os.environ.get(VARIABLE) and importlib.util.find_spec("t5x") is not None:
        return
    around = clones(os.environ.get(VARIABLE))
    paths = [str(around / name) for name in REPOSITORIES]
    sys.path[:0] = [path for path in paths if path not in sys.path]


def clones(named: str | None = None) -> pathlib.Path:
    """The folder with the three clones.

    Args:
      named: the folder; None: what `BABELDRAW_T5X_DIR` says.

    Raises:
      UserError: none is named, or a clone is missing.
    """
    named = named or os.environ.get(VARIABLE)
    if not named:
        raise UserError(
            f"T5X is not here: clone it with airio and jestimator, and set {VARIABLE} to the "
            "folder of the three (docs/t5x.md)."
        )
    around = pathlib.Path(named).expanduser().absolute()
    for name in REPOSITORIES:
        if not (around / name / name).is_dir():
            raise UserError(
                f"{VARIABLE} is {named}, and there is no clone of {name} in {around / name}: "
                "clone it there (docs/t5x.md)."
            )
    return around


def folder() -> pathlib.Path:
    """Where T5X is, after `put_on_path`."""
    return _package().parent


def program(name: str) -> pathlib.Path:
    """The file of one of T5X's programs, such as `train`; after `put_on_path`."""
    return _package() / f"{name}.py"


def commit() -> str:
    """Of T5X's clone, after `put_on_path`; "" where git does not tell."""
    asked = ("git", "-C", str(_package()), "rev-parse", "HEAD")
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def require() -> None:
    """Whether T5X can be imported and has what is used of it; after `put_on_path`.

    Raises:
      UserError: it needs a package that is missing, or is of another commit.
    """
    for name, wanted in USED.items():
        try:
            found = _named(name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in REPOSITORIES:
                raise _other(str(error.name)) from error
            raise UserError(
                f"T5X imports {error.name}, which is not installed: pip install -e '.[t5x]' "
                "--constraint constraints.txt."
            ) from error
        except (ImportError, AttributeError) as error:
            raise _other(name) from error
        for attribute in wanted:
            if not hasattr(found, attribute):
                raise _other(f"{name}.{attribute}")


def _package() -> pathlib.Path:
    spec = importlib.util.find_spec("t5x")
    assert spec is not None and spec.origin is not None
    return pathlib.Path(spec.origin).parent


def _named(name: str) -> object:
    package, module, *rest = name.split(".")
    found: object = importlib.import_module(f"{package}.{module}")
    for part in rest:
        found = getattr(found, part)
    return found


def _other(missing: str) -> UserError:
    return UserError(
        f"T5X in {folder()} has no {missing}, which is used here: check out its commit "
        f"{REPOSITORIES['t5x'][:7]} (docs/t5x.md)."
    )
