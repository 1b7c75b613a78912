"""What of another run's parameters has a shape of this run's, or can be brought into it."""

from typing import Any

import numpy as np
from jaxtyping import Shaped

from babeldraw import files
from babeldraw.errors import UserError
from babeldraw.objectives.base import Objective
from babeldraw.ranges import fit
from babeldraw.sizes import Size, height_and_width
from babeldraw.training.keeping import resizing, settings
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
        if "text_tokens" in objective.batch_shapes(1):
            self._ours = getattr(dataset, "vocabulary_model", None)

    def fit(
        self, name: str, source: str, array: Shaped[np.ndarray, "..."], shape: tuple[int, ...]
    ) -> resizing.Fitted | None:
        """The array in `shape`; None where it does not fit, which `refuse` then says."""
        was, now = self._grids
        of_grid = name.endswith(("/positions/table", "image_positions/table"))
        other_grid = of_grid and was and now and was != now
        network = {other for other in self._names if other.split("/")[0] == name.split("/")[0]}
        axis = resizing.axis_of_pieces(name, network)
        both = self._ours is not None and self._theirs is not None
        other_pieces = axis is not None and both and self._ours != self._theirs
        if array.shape == shape and not other_grid and not other_pieces:
            return resizing.Fitted(array, None, "")
        if axis is None or not both:
            fitted = resizing.fit_positions(name, array, shape, self._grids)
        else:
            assert self._ours is not None and self._theirs is not None, "both"
            rows = resizing.match_pieces(self._ours, self._theirs)
            fitted = resizing.fit_pieces(array, shape, axis, rows)
        if fitted is not None and self._resize:
            return fitted
        why = f"{list(array.shape)} there and {list(shape)} here"
        if array.shape == shape:
            why = "of another vocabulary there" if other_pieces else f"of a grid of {was} there"
        self._faults.append((name, f"{source} is {why}", fitted is not None))
        return None

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
            resize = "set INIT_RESIZE = True, which brings positions and vocabularies into shape, "
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
