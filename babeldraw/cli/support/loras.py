"""`--lora FILE WEIGHT`: low-rank changes, added to the model of a run when it is opened."""

import argparse
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from babeldraw.errors import UserError

if TYPE_CHECKING:
    from babeldraw.objectives.base import Networks, Objective

Loras = Sequence[tuple[str, float]]
"""Files of `weights.lora_files`, and how much of each is added."""


class _Add(argparse.Action):
    """Adds a file and its weight, which is a number then."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        file, weight = values
        added = (*getattr(namespace, self.dest), (file, _weight(file, weight)))
        setattr(namespace, self.dest, added)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `--lora` to the parser of a command that draws: pairs of a file and a number."""
    parser.add_argument(
        "--lora",
        action=_Add,
        nargs=2,
        default=(),
        metavar=("FILE", "WEIGHT"),
        help="add the changes of a `babeldraw finetune --lora` of this run, 1 as they were "
        "trained; repeatable",
    )


def _weight(file: str, weight: str) -> float:
    try:
        number = float(weight)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(
            f"--lora {file} has the weight {weight!r}; give a number, as --lora {file} 1"
        )
    return number


def with_changes(
    networks: "Networks", loras: Loras, objective: "Objective", model_dir: str
) -> "Networks":
    """A run's networks with the changes added, where they lie; of an average, the average.

    Raises:
      UserError: a file is none of these, or of another network or base; or the run has no model
        that could be changed.
    """
    from babeldraw.objectives.average import average_name, averaged
    from babeldraw.objectives.text_to_image import NAME, TextToImage

    if not isinstance(objective, TextToImage):
        raise UserError(
            f"--lora changes text-to-image models, and {model_dir} is a "
            f"{type(objective).__name__} run; leave it out."
        )
    rest = {name: tree for name, tree in networks.items() if name != average_name(NAME)}
    return {**rest, NAME: changed(averaged(networks, NAME), loras, model_dir)}


def changed(params: Any, loras: Loras, model_dir: str) -> Any:
    """Parameters of a text-to-image network with the changes added, where they lie.

    Raises:
      UserError: a file is none of these, or of another network or base.
    """
    import jax

    from babeldraw.models import lora
    from babeldraw.objectives.text_to_image import NAME
    from babeldraw.training.keeping.checkpoint_files import by_name
    from babeldraw.training.keeping.fingerprint import identity
    from babeldraw.weights import lora_files

    own = identity(by_name(params))
    read = [(file, weight, lora_files.read(file)) for file, weight in loras]
    for file, _, changes in read:
        if (changes.network, changes.base) != (NAME, own):
            raise UserError(
                f"{file} was trained on another model than {model_dir} has: its base is "
                f"{changes.base[:12]}, of {changes.run}, and this one {own[:12]}; give "
                f"--checkpoint {changes.run}, or a file that was trained on this run."
            )
    params = jax.tree.map(jax.numpy.asarray, params)
    add = jax.jit(lora.merge, out_shardings=jax.tree.map(lambda array: array.sharding, params))
    for file, weight, changes in read:
        params = add(params, changes.fit(params, file), weight)
    return params


def words_of(loras: Loras) -> set[str]:
    """Words that the files' captions had and their base's had not."""
    from babeldraw.weights import lora_files

    return {word for file, _ in loras for word in lora_files.read(file).words}
