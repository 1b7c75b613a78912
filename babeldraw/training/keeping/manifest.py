"""What a run was made with: its data, vocabulary and frozen networks, in model_dir/manifest.json.

A run that goes on compares. What would make its results wrong is refused in a sentence, and what
else has changed is named. The file holds

  format       of this file
  babeldraw    the version that wrote it
  data         what the dataset says of itself: `task`, `split`, `pictures` (how many), `names`
               (their hash) and, where they are not the defaults, `fit` and `background`; null where
               it says nothing
  vocabulary   SHA-256 of vocabulary.model; null where the run reads no texts
  origins      field of the objective -> where the frozen network that it gives came from
  constants    array of constants/ -> SHA-256, by which those are verified when they are read
  init_from    the settings of init_from.py that the run was started with, and what they came to:
               `run`, `step` and `checkpoint` (a hash of its arrays' fingerprints); null: fresh
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from etils import epath

import babeldraw
from babeldraw.errors import UserError
from babeldraw.files import path, written_whole
from babeldraw.objectives.base import Constants, Objective
from babeldraw.training import agreement
from babeldraw.training.keeping import checkpoint_files
from babeldraw.training.keeping import vocabulary as vocabulary_lib

NAME = "manifest.json"
FORMAT = 1

DEFAULT = "the default"
SHOWN = 60
"""Characters of a value in a message."""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """See above."""

    data: Mapping[str, Any] | None
    vocabulary: str | None
    origins: Mapping[str, str]
    constants: Mapping[str, str]
    babeldraw: str = babeldraw.__version__
    init_from: Mapping[str, Any] | None = None


def read_manifest(directory: epath.Path) -> Manifest | None:
    """None of a run of before there was one.

    Raises:
      UserError: the file is damaged, or of a later version.
    """
    file = directory / NAME
    if not file.exists():
        return None
    try:
        found = json.loads(file.read_bytes())
        if found.pop("format") != FORMAT:
            raise UserError(f"{file} is not in format {FORMAT}: use a later Babeldraw.")
        return Manifest(**found)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{file} is damaged ({checkpoint_files.first_line(error)}): bring it back from a copy, "
            "or remove it, and nothing of the run's past is compared."
        ) from error


def keep_manifest(
    directory: epath.Path,
    objective: Objective,
    constants: Constants,
    dataset: Any,
    resumed: bool,
    allow_other_data: bool,
    init_from: Mapping[str, Any] | None = None,
) -> None:
    """Process 0 compares what the run goes on with, and writes it down; all others hear of it.

    Args:
      constants: those that the run has kept, as host arrays.
      dataset: that of the training; may have `fingerprint()` and `vocabulary_model`.
      resumed: whether the run has been trained before.
      allow_other_data: go on with data that are not those of before.
      init_from: what the run starts from, as `Start.record`; of one that goes on, what its recipe
        says of that, as `InitFrom.asked`; None: nothing.

    Raises:
      UserError: in all processes: another vocabulary, other frozen networks, or other data; or the
        recipe of a run that goes on says another start.
    """
    agreement.by_first(
        lambda: _keep(
            directory, objective, constants, dataset, resumed, allow_other_data, init_from
        )
    )


def _keep(
    directory: epath.Path,
    objective: Objective,
    constants: Constants,
    dataset: Any,
    resumed: bool,
    allow_other_data: bool,
    init_from: Mapping[str, Any] | None,
) -> None:
    vocabulary = None
    if "text_tokens" in objective.batch_shapes(1):
        vocabulary = getattr(dataset, "vocabulary_model", None)
    fingerprint = getattr(dataset, "fingerprint", None)
    before = read_manifest(directory) if resumed else None
    now = Manifest(
        data=None if fingerprint is None else fingerprint(),
        vocabulary=None if vocabulary is None else hashlib.sha256(vocabulary).hexdigest(),
        origins=origins(objective),
        # Where there was a manifest, the constants have been read, and verified, by it.
        constants=hash_constants(constants) if before is None else before.constants,
        init_from=before.init_from if before else None if resumed else init_from,
    )
    if resumed and init_from is not None:
        _compare_start(directory, now.init_from, init_from)
    if before is not None:
        _compare_networks(directory, objective, before, now)
        _compare_data(directory, before, now, allow_other_data)
        if before.babeldraw != now.babeldraw:
            print(f"trained by Babeldraw {before.babeldraw} before, by {now.babeldraw} from now on")
    if vocabulary is not None:
        vocabulary_lib.keep_vocabulary(
            directory, vocabulary, _vocabulary_of(directory, before, resumed)
        )
    text = json.dumps({"format": FORMAT, **dataclasses.asdict(now)}, indent=2) + "\n"
    with written_whole(directory / NAME, "free its disk or give another model_dir") as file:
        file.write(text.encode())


def _vocabulary_of(directory: epath.Path, before: Manifest | None, resumed: bool) -> str | None:
    """SHA-256 of what the run's texts were read with; None where nothing says it."""
    kept = directory / vocabulary_lib.NAME
    if before is not None and before.vocabulary is not None:
        return before.vocabulary
    return hashlib.sha256(kept.read_bytes()).hexdigest() if resumed and kept.exists() else None


def check_vocabulary(directory: epath.Path) -> None:
    """Looks at the run's vocabulary before texts are read with it.

    Raises:
      UserError: it is not what the run was trained with.
    """
    written, kept = read_manifest(directory), directory / vocabulary_lib.NAME
    if written is None or written.vocabulary is None:
        return
    if hashlib.sha256(kept.read_bytes()).hexdigest() != written.vocabulary:
        raise UserError(f"{kept} is not what the run was trained with: bring it back from a copy.")


def hash_constants(constants: Constants) -> dict[str, str]:
    """SHA-256 of each array of the frozen networks, by name; host arrays.

    Sums, as fingerprint.py has them for states that are large, find damage; here other networks
    are told apart, whose numbers may differ in ways that a sum does not see.
    """
    return {
        name: hashlib.sha256(
            f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes()
        ).hexdigest()
        for name, array in checkpoint_files.by_name(constants).items()
    }


def origins(settings: Any) -> dict[str, str]:
    """Field -> `origin` of each source of weights that the settings hold, such as
    `checkpoints.TrainedTokenizer`; fields of fields as `perceptual.params`."""
    return dict(_origins(settings, ""))


def _origins(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return
    origin = getattr(value, "origin", None)
    if isinstance(origin, str):
        yield name, origin
        return
    for field in dataclasses.fields(value):
        if field.init and field.name != "parent":  # Flax's, which leads back up.
            below = getattr(value, field.name, None)
            yield from _origins(below, f"{name}.{field.name}".lstrip("."))


def _compare_networks(
    directory: epath.Path, objective: Objective, before: Manifest, now: Manifest
) -> None:
    """The kept networks count; one that comes from elsewhere by now has to be the same.

    From where it came before nothing is read: it may be gone, or have been trained on.
    """
    named = [name for name, origin in now.origins.items() if before.origins.get(name) != origin]
    if not named:
        return
    was = ", ".join(before.origins.get(name, "nowhere") for name in named)
    new = ", ".join(now.origins[name] for name in named)
    cause = f"The frozen networks of {directory} come from {was}, and those of {new}"
    fix = "name those of before (TOKENIZER_CHECKPOINT), or train into another --model_dir."
    try:
        found = hash_constants(objective.constants())
    except UserError as error:
        said = str(error).rstrip(".")
        raise UserError(f"{cause} cannot be compared with them ({said}): {fix}") from error
    if any(now.constants.get(name) != value for name, value in found.items()):
        raise UserError(f"{cause} are others: {fix}")
    print(f"the frozen networks of {new} are those of {was}, which the run has kept", flush=True)


def _compare_start(
    directory: epath.Path, was: Mapping[str, Any] | None, asked: Mapping[str, Any]
) -> None:
    """From where it started counts; that run is not read again, and may be gone."""
    same = was is not None and all(
        value == was[name] for name, value in asked.items() if name not in ("model_dir", "step")
    )
    if was is not None:
        where = (was["model_dir"], was["run"])
        same &= asked["model_dir"] in where or str(path(asked["model_dir"])) in where
        same &= asked["step"] in (None, was["step"])
    if not same:
        began = "fresh" if was is None else f"from {was['run']}, step {was['step']},"
        raise UserError(
            f"{directory} was started {began} and its recipe now says another start "
            f"(INIT_FROM {asked['model_dir']}, or another INIT_ setting), which would not be read: "
            "bring back the settings of before, leave all of INIT_ out, or train into another "
            "--model_dir."
        )


def _compare_data(
    directory: epath.Path, before: Manifest, now: Manifest, allow_other_data: bool
) -> None:
    was, new = before.data, now.data
    if was is None or new is None or was == new:
        return
    changed = [key for key in {**was, **new} if was.get(key) != new.get(key)]
    said = "; ".join(
        f"{key}: {str(was.get(key, DEFAULT))[:SHOWN]} before, {str(new.get(key, DEFAULT))[:SHOWN]} "
        "now"
        for key in changed
    )
    # Of a folder that has moved, the name has changed and nothing else.
    moved = changed == ["task"] and new.get("names") is not None
    if not moved and not allow_other_data:
        raise UserError(
            f"The data are not those that {directory} was trained with ({said}): bring those back, "
            "set loop.train.allow_other_data=True, or train into another --model_dir."
        )
    print(f"the data have changed ({said})", flush=True)
