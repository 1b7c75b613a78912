"""A probe as files: probe.json and probe.npz, which classify again, probe.png, and the table."""

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from etils import epath
from jaxtyping import Float

from babeldraw.errors import UserError
from babeldraw.evaluation.probe import Classifier, Features, Images, Probe, pixels
from babeldraw.files import path, written_whole

PIXELS = "pixels"
"""What raw pixels are called beside the networks."""

JSON, WEIGHTS, PLOT, FEATURES = "probe.json", "probe.npz", "probe.png", "features.npz"


@dataclasses.dataclass(frozen=True)
class Measured:
    """The probe of a network's blocks, and each block's accuracy on held-out pictures."""

    probe: Probe
    accuracy: Float[np.ndarray, "blocks"]


Table = Mapping[str, Measured]
"""By network, the one that the run trained first; raw pixels are there, too."""


def best_network(table: Table) -> str:
    """Whose best block did best where learning rates were searched; of equals, the first."""
    return max(table, key=lambda name: table[name].probe.searched.max())


def rows(table: Table, chance: float) -> str:
    """Every block's accuracy on held-out pictures, a line each, and chance below."""
    lines: dict[str, float] = {}
    for name, measured in table.items():
        blocks = len(measured.accuracy)
        for block, accuracy in enumerate(measured.accuracy, start=1):
            lines[name if name == PIXELS else f"{name}, block {block} of {blocks}"] = accuracy
    lines["chance: the most frequent class"] = chance
    width = max(map(len, lines))
    return "\n".join(f"  {name:{width}}  {value:6.1%}" for name, value in lines.items())


def middle_and_last(table: Table) -> str:
    """Of the first network, the best block before the last, chosen without held-out pictures."""
    name, measured = next(iter(table.items()))
    blocks = len(measured.accuracy)
    if blocks < 2:
        return f"{name} has one block, and none before its last"
    middle = int(np.argmax(measured.probe.searched[:-1]))
    of_middle, of_last = measured.accuracy[middle], measured.accuracy[-1]
    compared = "more than" if of_middle > of_last else "less than"
    compared = "as much as" if of_middle == of_last else compared
    return (
        f"{name}: of the blocks before the last, {middle + 1} of {blocks} was best where the "
        f"learning rates were searched; held out it has {of_middle:.1%}, {compared} the last "
        f"({of_last:.1%})"
    )


def draw_plot(file: str | os.PathLike[str], table: Table, chance: float, title: str) -> None:
    """Writes a PNG: accuracy over the blocks of each network, raw pixels and chance as lines."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, measured in table.items():
        if name == PIXELS:
            axes.axhline(measured.accuracy[0], color="0.4", linestyle="--", label=name)
            continue
        numbers = np.arange(1, len(measured.accuracy) + 1)
        axes.plot(numbers, measured.accuracy, marker="o", label=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.axhline(chance, color="0.7", linestyle=":", label="chance")
    axes.set(xlabel="block", ylabel="accuracy, held out", ylim=(0, 1.03), title=title)
    axes.legend()
    with path(file).open("wb") as output:
        figure.savefig(output, format="png", dpi=120)


def save(folder: epath.Path, table: Table, facts: Mapping[str, Any]) -> None:
    """Writes probe.json, with `facts`, and probe.npz: the layer of the best block of all.

    Args:
      facts: at least `checkpoint`, `step` and `classes`.
    """
    network = best_network(table)
    probe = table[network].probe
    found = {
        name: {
            "accuracy": measured.accuracy.tolist(),
            "searched": measured.probe.searched.tolist(),
            "learning_rates": measured.probe.learning_rates.tolist(),
        }
        for name, measured in table.items()
    }
    chosen = {"network": network, "block": probe.best}
    with written_whole(folder / WEIGHTS) as file:
        np.savez(file, weights=probe.weights[probe.best], biases=probe.biases[probe.best])
    text = json.dumps({**facts, "networks": found, "classifier": chosen}, indent=2)
    with written_whole(folder / JSON) as file:
        file.write(text.encode() + b"\n")


def load(
    folder: epath.Path, reader: Callable[[str, int, str], Callable[[Images], Features]]
) -> Classifier:
    """What `save` wrote, ready to classify.

    Args:
      reader: of a run directory, its step and the name of a network, what reads its blocks; not
        called for raw pixels.

    Raises:
      UserError: there is no probe, or it is damaged.
    """
    if not (folder / JSON).exists():
        raise UserError(
            f"{folder} has no {JSON}: make one with `babeldraw probe --output {folder}`."
        )
    try:
        facts = json.loads((folder / JSON).read_text())
        with (folder / WEIGHTS).open("rb") as file, np.load(file) as arrays:
            weights, biases = arrays["weights"], arrays["biases"]
        network, block = facts["classifier"]["network"], int(facts["classifier"]["block"])
        run, step, classes = facts["checkpoint"], int(facts["step"]), tuple(facts["classes"])
        if weights.shape[1:] != biases.shape or biases.shape != (len(classes),):
            raise ValueError("its weights are not of as many classes as it names")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"The probe in {folder} is damaged ({error}): make it again.") from error
    read = pixels if network == PIXELS else reader(run, step, network)
    return Classifier(read, block, weights, biases, classes)
