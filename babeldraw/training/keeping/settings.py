"""A run's settings as data, which are read without running its recipe: config.gin is code.

model_dir/settings.json holds what the recipe came to: the objective and the datasets, field by
field. An instance of a dataclass is an object with its fields and its `class`, which is a name to
look up among the classes that the reader knows, and nothing to import. A function that a recipe of
one's own gave is there by name alone.
"""

import dataclasses
import json
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from babeldraw.errors import UserError
from babeldraw.files import written_whole
from babeldraw.moved import name_of_today
from babeldraw.ranges import Unfit, fit

NAME = "settings.json"
"""In the run directory."""

FORMAT = 1

T5X = "babeldraw"
"""Where settings.json stands in a MODEL_DIR of T5X's; see t5x_models/description.py."""


@dataclasses.dataclass(frozen=True)
class Function:
    """A function that the recipe gave, such as a schedule of one's own: its name is all we have."""

    name: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise UserError(f"{self.name} is a function of the run's recipe: run that to call it.")


def keep_settings(directory: epath.Path, parts: Mapping[str, Any], *, done: bool) -> None:
    """Process 0 writes the settings of the steps to come.

    Args:
      parts: such as `objective` and `train_dataset`.
      done: whether there are none: then a file that is there stays what it is.
    """
    if jax.process_index() == 0 and not (done and (directory / NAME).exists()):
        write_settings(directory, parts)


def write_settings(directory: epath.Path, parts: Mapping[str, Any]) -> None:
    """Writes settings.json, whole or not at all."""
    text = json.dumps({"format": FORMAT, **to_data(parts)}, indent=2) + "\n"
    with written_whole(directory / NAME, "free its disk or give another model_dir") as file:
        file.write(text.encode())


def read_settings(directory: epath.Path) -> dict[str, Any]:
    """What settings.json holds, as `from_data` takes it.

    Raises:
      UserError: the directory is no run's, is a run's of before there was such a file, or the file
        is not what `write_settings` writes.
    """
    path = directory / NAME
    if not path.exists():
        if (directory / T5X / NAME).exists():
            raise UserError(
                f"{directory} is a folder of T5X's: make a run directory of it by `babeldraw "
                f"convert --from={directory} --to=DIR`."
            )
        recipe = directory / "config.gin"
        if not recipe.exists():
            raise UserError(
                f"{directory} is not a run directory (it has no {NAME}); give the --model_dir of a "
                "`babeldraw train` run."
            )
        raise UserError(
            f"{directory} has no {NAME}, from which a run is read without running its recipe: if "
            "you trust that recipe, start it once more, which writes the file (`babeldraw train "
            f"--gin_file={recipe} --model_dir={directory}`)."
        )
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}): bring it back from a copy.") from error
    if not isinstance(found, dict) or found.pop("format", None) != FORMAT:
        raise UserError(
            f"{path} is not in format {FORMAT}: read it with the Babeldraw that wrote it."
        )
    return found


def class_name(cls: type) -> str:
    """Such as `objectives.text_to_image.TextToImage`; of others' classes `module:Class`."""
    if cls.__module__.startswith("babeldraw."):
        return f"{cls.__module__.removeprefix('babeldraw.')}.{cls.__qualname__}"
    return f"{cls.__module__}:{cls.__qualname__}"


def to_data(value: Any) -> Any:
    """What JSON can hold of a value: numbers, text, lists, mappings, and dataclasses of these."""
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): to_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_data(item) for item in value]
    if _is_dtype(value):
        return jnp.dtype(value).name
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {name: to_data(getattr(value, name)) for name in _fields(type(value))}
        return {"class": class_name(type(value)), **fields}
    if callable(value):
        named = value if hasattr(value, "__qualname__") else type(value)
        return {"function": f"{named.__module__}:{named.__qualname__}"}
    return {"class": class_name(type(value))}


def from_data(data: Any, known: Mapping[str, type], place: str) -> Any:
    """The value that `to_data` made `data` of.

    Args:
      known: `class_name` -> class, of all that may be made.
      place: where `data` stands, for messages.

    Raises:
      UserError: a class that is not known, a field that it does not have, a value of another type,
        or one that the class refuses.
    """
    if isinstance(data, list):
        return tuple(from_data(item, known, place) for item in data)
    if not isinstance(data, dict):
        return data
    if isinstance(data.get("function"), str):
        return Function(data["function"])
    if "class" not in data:
        return {key: from_data(item, known, f"{place}.{key}") for key, item in data.items()}
    cls = known.get(name_of_today(str(data["class"])))
    if cls is None:
        raise UserError(
            f"{place} is of the class {str(data['class'])[:80]!r}, which this Babeldraw does not "
            "have: read the run with the one that trained it."
        )
    kinds = typing.get_type_hints(cls, include_extras=True)
    values = {}
    for name, item in data.items():
        if name == "class":
            continue
        if name not in _fields(cls):
            raise UserError(
                f"{place} has a field {name[:80]!r}, which {data['class']} does not have: read the "
                "run with the Babeldraw that trained it."
            )
        try:
            values[name] = fit(from_data(item, known, f"{place}.{name}"), kinds[name])
        except Unfit as unfit:
            raise UserError(
                f"{place}.{name} is {str(item)[:80]}, and it takes {unfit}: bring the file back "
                "from a copy."
            ) from unfit
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:
        raise UserError(f"{place} cannot be a {data['class']}: {error}.") from error


def _fields(cls: Any) -> Iterator[str]:
    """Names of its settings: Flax adds `parent` and `name` to every module's."""
    own = {"parent", "name"} if hasattr(cls, "setup") else set()
    return (f.name for f in dataclasses.fields(cls) if f.init and f.name not in own)


def _is_dtype(value: Any) -> bool:
    scalar = isinstance(value, type) and jnp.dtype(value) != np.dtype(object)
    return isinstance(value, np.dtype) or scalar
