"""What a run directory keeps on disk, and reading it: for sampling, and for frozen networks.

model_dir/checkpoints/STEP/params            what sampling needs
model_dir/checkpoints/STEP/optimizer_state
model_dir/checkpoints/STEP/run               JSON: seed; every variable's shape, dtype, fingerprint
model_dir/constants                          frozen networks, written once
model_dir/manifest.json                      see manifest.py; hashes of the constants
model_dir/damaged/STEP                       a checkpoint that could not be read, moved there

A pipelined stack is written as it is held, `[rounds, layers a round, ...]`. The JSON names its
shape with the layers in one axis, which is what every other machine and sampling read it as. The
loop writes and restores checkpoints by saving.py.
"""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from babeldraw import files
from babeldraw.errors import UserError
from babeldraw.objectives.average import averaged
from babeldraw.objectives.base import Constants, Params
from babeldraw.ranges import Whole, fit
from babeldraw.sizes import Size, from_sides, height_and_width, in_words
from babeldraw.training.keeping import checkpoint_files
from babeldraw.training.keeping.fingerprint import fingerprint_host_array
from babeldraw.training.keeping.manifest import NAME, hash_constants, read_manifest
from babeldraw.training.keeping.settings import NAME as SETTINGS
from babeldraw.training.keeping.settings import read_settings
from babeldraw.training.keeping.steps import whole_steps
from babeldraw.training.state import variable_name


def latest_step(model_dir: str) -> int:
    """The step of the latest checkpoint of a run directory.

    Raises:
      UserError: there is no such directory, or no checkpoint in it, or it cannot be listed.
    """
    steps = whole_steps(model_dir)
    if not steps:
        raise UserError(
            f"There is no checkpoint in {model_dir}: give the directory of a run that saved one."
        )
    return steps[-1]


def load_params(model_dir: str, step: int | None = None) -> dict[str, Params]:
    """Parameters of every player, as host arrays: for sampling, and for frozen networks.

    Args:
      model_dir: the run directory.
      step: of the checkpoint; the latest by default.

    Raises:
      UserError: there is no such checkpoint, or it is damaged.
    """
    params: dict[str, Params] = _load(model_dir, step, "params")
    return params


def load_optimizer_state(model_dir: str, step: int | None = None) -> dict[str, Any]:
    """The optimizers' arrays by name (`optimizer_state/PLAYER/...`), as `load_params`."""
    return checkpoint_files.by_name({"optimizer_state": _load(model_dir, step, "optimizer_state")})


def _load(model_dir: str, step: int | None, item: str) -> Any:
    with reading(model_dir, step, item) as (path, run):
        tree = checkpoint_files.read_tree(path)

        def sequential(keys: tuple[Any, ...], array: np.ndarray) -> np.ndarray:
            name = f"{item}/{variable_name(keys)}"
            if run.get("fingerprints", {}).get(name) not in (None, fingerprint_host_array(array)):
                raise checkpoint_files.Damaged(f"{name} is not what was saved")
            return array.reshape(sequential_shape(run, name))

        return jax.tree_util.tree_map_with_path(sequential, tree)


@contextlib.contextmanager
def reading(
    model_dir: str, step: int | None, item: str = "params"
) -> Iterator[tuple[epath.Path, dict[str, Any]]]:
    """The folder of a checkpoint's parameters, or of its `optimizer_state`, and its JSON.

    Raises:
      UserError: there is no such checkpoint; or within, it cannot be read.
    """
    latest = latest_step(model_dir)
    step = latest if step is None else step
    path = files.path(model_dir) / "checkpoints" / str(step) / item
    if not path.is_dir():
        raise UserError(f"{model_dir} has no checkpoint of step {step}: its latest is {latest}.")
    try:
        with checkpoint_files.reading(path.parent):
            yield path, checkpoint_files.read_run(path.parent)
    except checkpoint_files.Damaged as error:
        raise UserError(
            f"The checkpoint of step {step} in {model_dir} is damaged ({error}): name another "
            "step, or train on in that directory, which goes on from the last good one."
        ) from error


def sequential_shape(run: dict[str, Any], name: str) -> list[int]:
    """The shape of a variable by a checkpoint's JSON, the layers of a stack in one axis."""
    described = run["variables"][name]
    shape: list[int] = json.loads(described[described.index("[") :])
    return shape


def save_constants(model_dir: str, constants: Constants) -> None:
    """Writes the parameters of frozen networks, at the start of a run and never again."""
    path = files.path(model_dir) / "constants"
    # What stands there already is of a run that saved no checkpoint.
    if jax.tree.leaves(constants):
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(path, jax.tree.map(np.asarray, constants), force=True)
    elif path.is_dir() and jax.process_index() == 0:
        path.rmtree()


def load_constants(model_dir: str) -> Constants:
    """What `save_constants` wrote, as host arrays; `{}` where the run has no frozen network.

    Raises:
      UserError: there is no such run directory, or they are damaged: not what its manifest says.
    """
    if not files.path(model_dir).is_dir():
        raise UserError(f"There is no run directory {model_dir}: give the model_dir of a run.")
    path = files.path(model_dir) / "constants"
    written = read_manifest(path.parent)
    try:
        constants: Constants = {}
        if path.is_dir():
            with checkpoint_files.reading(path):
                constants = checkpoint_files.read_tree(path)
        if written is not None and hash_constants(constants) != written.constants:
            raise checkpoint_files.Damaged(f"they are not what {NAME} says")
    except checkpoint_files.Damaged as error:
        raise UserError(
            f"The frozen networks in {path} are damaged ({error}): bring them back from a copy."
        ) from error
    return constants


def load_networks(model_dir: str, step: int | None = None) -> dict[str, Params]:
    """Every network of a run, trained or frozen, by name: host arrays.

    A network that a run trains in part is put together from its parameters and its constants.

    Raises:
      UserError: there is no such checkpoint, or it is damaged.
    """
    networks: dict[str, Params] = merge(load_constants(model_dir), load_params(model_dir, step))
    return networks


def load_tokenizer(model_dir: str, step: int | None = None) -> Params:
    """Parameters of the ViT-VQGAN of a run: the averaged ones where the run has kept averages.

    Raises:
      UserError: there is no such checkpoint, it is damaged, or has no tokenizer in it.
    """
    networks = load_networks(model_dir, step)
    if "tokenizer" not in networks:
        raise UserError(
            f"{model_dir} holds no tokenizer: give the directory of a tokenizer run, such as "
            "TOKENIZER_CHECKPOINT='runs/tokenizer'."
        )
    return averaged(networks, "tokenizer")


@dataclasses.dataclass(frozen=True)
class TrainedTokenizer:
    """Gives the tokenizer of the run in `model_dir` when it is called, as `load_tokenizer` does.

    Attributes:
      image_size: what the recipe takes it for: that of pictures of 32 x 48 px has the same weights
        as one of 48 x 32 px.
    """

    model_dir: str
    image_size: Size | None = None

    @property
    def origin(self) -> str:
        """See `manifest.origins`."""
        return self.model_dir

    def __call__(self) -> Params:
        params, size = load_tokenizer(self.model_dir), _tokenizer_size(self.model_dir)
        wanted = size if self.image_size is None else height_and_width(self.image_size)
        if size is not None and size != wanted:
            raise UserError(
                f"The tokenizer of {self.model_dir} reads pictures of {in_words(size)}, and "
                f"IMAGE_SIZE is {self.image_size}: set it to {from_sides(*size)}, or give another "
                "tokenizer."
            )
        return params


@dataclasses.dataclass(frozen=True)
class TrainedTextToImage:
    """Gives the model of the text-to-image run in `model_dir` when it is called: its average, where
    the run has kept one.

    Attributes:
      step: of the checkpoint; the latest by default.
    """

    model_dir: str
    step: Whole | None = None

    @property
    def origin(self) -> str:
        """See `manifest.origins`."""
        return self.model_dir

    def __call__(self) -> Params:
        params = load_params(self.model_dir, self.step)
        if "text_to_image" not in params:
            raise UserError(
                f"{self.model_dir} trains no text-to-image model (it trains {', '.join(params)}): "
                "give the directory of a run of gin/runs/text_to_image.gin."
            )
        return averaged(params, "text_to_image")


def _tokenizer_size(model_dir: str) -> tuple[int, int] | None:
    """Height and width; None of a run that does not say them."""
    directory = files.path(model_dir)
    if not (directory / SETTINGS).exists():
        return None
    objective = read_settings(directory).get("objective") or {}
    network = objective.get("tokenizer") or objective.get("model") or {}
    return height_and_width(fit(network["image_size"], Size)) if "image_size" in network else None


def merge(first: Any, second: Any) -> Any:
    """Union of two nested dicts of arrays that share no leaf."""
    if not isinstance(first, dict):
        return second
    both = {name: merge(first[name], second[name]) for name in first.keys() & second.keys()}
    return {**first, **second, **both}
