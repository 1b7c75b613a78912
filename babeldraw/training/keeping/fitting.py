"""What of another run's parameters has a shape of this run's, or can be brought into it."""

import functools
from typing import Any

import numpy as np
from jaxtyping import Shaped

from babeldraw import files
from babeldraw.errors import UserError
from babeldraw.objectives.base import Objective
from babeldraw.ranges import fit
from babeldraw.sizes import Size, height_and_width
from babeldraw.training.keeping import class_names, resizing, settings
from babeldraw.training.keeping.vocabulary import NAME as VOCABULARY

SHOWN = 4
"""Parameters that a message names."""


class Fitter:
    """Brings arrays into the shapes of this run, and collects what does not fit."""

    def __init__(
        self, resize: bool, run: str, objective: Objective, dataset: Any, names: set[str]
    ) -> None:
        self._resize, self._run, self._names = resize, run, names
        self._faults: list[tuple[str, str, bool]] = []
        directory = files.path(run)
        written: Any = None
        if (directory / settings.NAME).exists():
            written = settings.read_settings(directory).get("objective")
        self._grids = (_grid(written), _grid(settings.to_data(objective)))
        kept, self._ours = directory / VOCABULARY, None
        self._theirs = kept.read_bytes() if kept.exists() else None
        self._classes: tuple[tuple[str, ...], tuple[str, ...]] = class_names.read(directory), ()
        shapes = objective.batch_shapes(1)
        if "text_tokens" in shapes:
            self._ours = getattr(dataset, "vocabulary_model", None)
        if "class_id" in shapes and hasattr(dataset, "class_names"):
            ours = tuple(" ".join(name.split()) for name in dataset.class_names())
            self._classes = self._classes[0], ours

    def fit(
        self, name: str, source: str, array: Shaped[np.ndarray, "..."], shape: tuple[int, ...]
    ) -> resizing.Fitted | None:
        """The array in `shape`; None where it does not fit, which `refuse` then says."""
        was, now = self._grids
        of_grid = name.endswith(("/positions/table", "image_positions/table"))
        other_grid = of_grid and was and now and was != now
        counted = self._counted(name)
        if array.shape == shape and not other_grid and counted is None:
            return resizing.Fitted(array, None, "")
        if counted is None:
            fitted = resizing.fit_positions(name, array, shape, self._grids)
        else:
            fitted = resizing.fit_rows(array, shape, counted.axis, counted.rows(), counted.what)
        if fitted is not None and self._resize:
            return fitted
        why = f"{list(array.shape)} there and {list(shape)} here"
        if array.shape == shape:
            why = f"of other {counted.what} there" if counted else f"of a grid of {was} there"
        self._faults.append((name, f"{source} is {why}", fitted is not None))
        return None

    def _counted(self, name: str) -> resizing.Counted | None:
        """What an axis of a parameter counts, if both runs say of what and it is not the same."""
        theirs, ours = self._classes
        if name.endswith("class_embedding/table") and theirs and ours and theirs != ours:
            return resizing.Counted(
                "classes", 0, functools.partial(resizing.match_names, ours, theirs)
            )
        network = {other for other in self._names if other.split("/")[0] == name.split("/")[0]}
        axis = resizing.axis_of_pieces(name, network)
        if axis is None or self._ours is None or self._theirs in (None, self._ours):
            return None
        rows = functools.partial(resizing.match_pieces, self._ours, self._theirs)
        return resizing.Counted("pieces", axis, rows)

    def refuse(self) -> None:
        """Raises UserError where anything did not fit."""
        faults = list(dict.fromkeys(self._faults))  # An average says what its network says.
        if not faults:
            return
        said = "; ".join(text for _, text, _ in faults[:SHOWN])
        more = f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        fresh = sorted({name.split("/", 1)[1].rpartition("/")[0] for name, *_ in faults})[:SHOWN]
        resize = ""
        if all(can for *_, can in faults):
            resize = "set INIT_RESIZE = True, which brings positions, pieces and classes along, "
        raise UserError(
            f"Not all that {self._run} has fits this run: {said}{more}; {resize}"
            f"{'or ' if resize else ''}say what starts fresh, such as INIT_FRESH = "
            f"{tuple(fresh)!r}, or give a run of the same sizes."
        )


def _grid(objective: Any) -> resizing.Grid | None:
    """Rows and columns of a picture's tokens, by an objective's settings as data."""
    network = objective if isinstance(objective, dict) else {}
    network = network.get("tokenizer") or network.get("model") or {}
    if not isinstance(network, dict) or not {"image_size", "patch_size"} <= network.keys():
        return None
    height, width = height_and_width(fit(network["image_size"], Size))
    patch = int(network["patch_size"])
    return height // patch, width // patch
