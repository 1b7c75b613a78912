"""An exported text-to-image model as a run directory, for what goes on with its training."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from babeldraw import files
from babeldraw.cli.support.exported import Exported, open_exported
from babeldraw.cli.support.finetuning import RATES, highest_rate
from babeldraw.errors import UserError
from babeldraw.training.keeping import run_folders
from babeldraw.training.keeping.manifest import read_manifest

if TYPE_CHECKING:
    from etils import epath

    from babeldraw.cli.support.runs import Run
    from babeldraw.objectives.text_to_image import TextToImage


def training_of(run: "Run") -> dict[str, Any]:
    """What config.json keeps of a run's training, to go on with; nothing of other objectives."""
    from babeldraw.objectives.text_to_image import TextToImage

    objective = run.objective
    if type(objective) is not TextToImage:
        return {}
    peak = highest_rate(run)
    if peak is None:
        return {}
    return {
        "task": _registered_task(run),
        "batch_size": run.train_dataset.batch_size,
        "learning_rate": peak,
        **{name: getattr(objective, name) for name in RATES},
    }


def data_of(run: "Run") -> Mapping[str, Any] | None:
    """What a card says of a run's training data, where its manifest says so."""
    manifest = read_manifest(files.path(run.model_dir))
    if manifest is None or not manifest.data:
        return None
    return {**manifest.data, "task": _registered_task(run) or "its maker's own pictures"}


def _registered_task(run: "Run") -> str:
    """What it was trained on, or what its tokens were made of; "" where only this machine has it.

    A folder's name is nobody else's business.
    """
    from babeldraw.data import tasks

    name = run.train_dataset.mixture_or_task_name
    if name.startswith("tokens:"):
        try:
            manifest = tasks.token_manifest(tasks.find_task(name, "train"))
        except UserError:  # they are gone
            return ""
        name = "" if manifest is None else manifest.task
    return "" if ":" in name else name


def can_go_on(exported: Exported) -> bool:
    """Whether it is of a text-to-image run, and says how that was trained."""
    return exported.brings("sampler") and bool(exported.folder.config.get("training"))


def run_of(name: str) -> str:
    """The run directory that stands for a model: itself, or of an exported one a copy as a run.

    The copy is made once, in the cache; its weights are those of the export, which may be rounded.

    Raises:
      UserError: an exported model that says nothing of its training; or damaged.
    """
    if not run_folders.is_exported(name):
        return name
    exported = open_exported(name)
    if not can_go_on(exported):
        run_folders.refuse_exported(name)
    config = (exported.folder.path / run_folders.EXPORTED).read_bytes()
    place = files.path(files.cache_dir()) / "exported" / hashlib.sha256(config).hexdigest()[:16]
    if not place.exists():
        begun = place.with_name(f"{place.name}-{os.getpid()}")
        try:
            _write(begun, place, exported)
            begun.rename(place)
        except OSError as error:
            if not place.exists():  # else another process was faster
                raise UserError(
                    f"{place} cannot be written ({error.strerror}), where {name} is kept as a run: "
                    "set BABELDRAW_CACHE_DIR to a folder that can be."
                ) from error
        finally:
            shutil.rmtree(begun, ignore_errors=True)
    return str(place)


def _write(folder: "epath.Path", place: "epath.Path", exported: Exported) -> None:
    """The run directory, to be moved to `place`."""
    import numpy as np

    from babeldraw.objectives.text_to_image import NAME
    from babeldraw.parallel.mesh import one_device
    from babeldraw.parallel.rules import INFERENCE_RULES
    from babeldraw.training.keeping import prompts, vocabulary
    from babeldraw.training.keeping.checkpoints import save_constants
    from babeldraw.training.keeping.saving import Checkpoints
    from babeldraw.training.keeping.settings import write_settings
    from babeldraw.training.state import TrainState, describe_params

    objective, dataset = _settings(exported, str(place))
    params = {NAME: exported.folder.params("transformer")}
    state = TrainState(
        step=np.int32(exported.step), params=params, optimizer_state={"none": np.zeros(1)}
    )
    variables = describe_params(objective, one_device(), INFERENCE_RULES)
    files.mark_output(folder, ours=True)
    checkpoints = Checkpoints(str(folder), keep=1, seed=0, variables=variables)
    checkpoints.save(exported.step, state)
    checkpoints.close()
    save_constants(str(folder), {"tokenizer": exported.folder.params("tokenizer")})
    pieces = exported.folder.vocabulary_file("transformer").read_bytes()
    vocabulary.keep_vocabulary(folder, pieces, None)
    known = exported.folder.path / prompts.NAME
    if known.exists():
        (folder / prompts.NAME).write_bytes(known.read_bytes())
    write_settings(folder, {"objective": objective, "train_dataset": dataset, "eval_dataset": None})


def _settings(exported: Exported, place: str) -> "tuple[TextToImage, Any]":
    """The objective and the training data, as config.json has them."""
    from babeldraw.data.streams.pipeline import Dataset
    from babeldraw.objectives.text_to_image import TextToImage
    from babeldraw.optimizers.config import Adam
    from babeldraw.optimizers.schedules import WarmupCosine
    from babeldraw.parallel.execution import Execution
    from babeldraw.training.keeping.checkpoints import TrainedTokenizer

    training = exported.folder.config["training"]
    model, tokenizer = (exported.folder.module(name) for name in ("transformer", "tokenizer"))
    try:
        rate = float(training["learning_rate"])
        rates: Any = {name: float(training[name]) for name in RATES}
        objective = TextToImage(
            execution=Execution(),
            tokenizer=tokenizer,
            tokenizer_params=TrainedTokenizer(place, tokenizer.image_size),
            model=model,
            optimizer=Adam(learning_rate=WarmupCosine(rate, 0, 1, rate)),
            **rates,
        )
        dataset = Dataset(
            str(training["task"]),
            {"text": model.text_length, "image": tokenizer.image_size},
            batch_size=int(training["batch_size"]),
            **exported.folder.config["view"],
        )
    except (TypeError, ValueError, LookupError) as error:
        raise UserError(
            f"{exported.model_dir}/config.json tells of its training what cannot be ({error}): "
            "bring it back from a copy."
        ) from error
    return objective, dataset
