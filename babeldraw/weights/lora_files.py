"""Low-rank changes of a network (`models.lora`) as a file of their own.

A safetensors file: arrays `PATH/down` and `PATH/up`, float32, where PATH is the kernel's in the
network, such as `decoder/layers/mlp/wi/kernel`; and in its metadata

  format    of this file
  network   whose kernels they change
  base      `fingerprint.identity` of the network that they were trained on, which they belong to
  run       the directory that it was taken from, to be read by people
  rank      of each change
  words     JSON: words of its captions that those of the base never had
"""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from jaxtyping import Float

from babeldraw import files
from babeldraw.errors import UserError
from babeldraw.models import lora

FORMAT = "babeldraw-lora 1"


@dataclasses.dataclass(frozen=True)
class Changes:
    """What a file holds; see above.

    Attributes:
      arrays: by name.
    """

    arrays: Mapping[str, Float[np.ndarray, "..."]]
    network: str
    base: str
    run: str
    rank: int
    words: Sequence[str] = ()

    def fit(self, params: Any, name: str) -> dict[str, Any]:
        """The tree that `lora.merge` takes.

        Args:
          params: of the network that they are for.
          name: of the file, for the error.

        Raises:
          UserError: a change is of no kernel of the network, of another shape, or lacks its half.
        """
        tree: dict[str, Any] = {}
        for path, array in self.arrays.items():
            *parts, half = path.split("/")
            kernel, node = params, tree
            for part in parts:
                kernel = kernel.get(part) if isinstance(kernel, Mapping) else None
                node = node.setdefault(part, {})
            other = self.arrays.get("/".join([*parts, lora.UP if half == lora.DOWN else lora.DOWN]))
            halves = (array, other) if half == lora.DOWN else (other, array)
            if None in map(_shape, (kernel, *halves)) or not _fits(kernel, *halves):
                raise UserError(
                    f"{name} changes {'/'.join(parts)} by {list(array.shape)}, and the model has "
                    "no such kernel for it: the file is damaged; bring it back from a copy."
                )
            node[half] = array
        return tree


def _shape(array: Any) -> tuple[int, ...] | None:
    return getattr(array, "shape", None)


def _fits(kernel: Any, down: Any, up: Any) -> bool:
    lead = down.ndim + up.ndim - 2 - kernel.ndim
    if lead < 0 or down.ndim < lead + 2 or up.ndim < lead + 2:
        return False
    made = (*down.shape[:-1], *up.shape[lead + 1 :])
    return bool(
        down.shape[:lead] == up.shape[:lead]
        and down.shape[-1] == up.shape[lead]
        and made == kernel.shape
    )


def write(file: str | os.PathLike[str], changes: Changes) -> None:
    """Writes them, whole or not at all."""
    metadata = {
        "format": FORMAT,
        "network": changes.network,
        "base": changes.base,
        "run": changes.run,
        "rank": str(changes.rank),
        "words": json.dumps(list(changes.words), ensure_ascii=False),
    }
    arrays = {name: np.ascontiguousarray(array) for name, array in changes.arrays.items()}
    data = safetensors.numpy.save(arrays, metadata)
    with files.written_whole(files.path(file), "free its disk or name another") as output:
        output.write(data)


def read(file: str) -> Changes:
    """What `write` wrote; nothing in it is run.

    Raises:
      UserError: there is no such file, or it is none of these.
    """
    if not files.path(file).is_file():
        raise UserError(
            f"There is no file {file}: give the lora.safetensors of a `babeldraw finetune --lora`."
        )
    try:
        with safetensors.safe_open(files.local_copy(file), framework="numpy") as opened:
            metadata = opened.metadata() or {}
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        if metadata.get("format") != FORMAT:
            raise UserError(
                f"{file} is not in the format {FORMAT!r}: give the lora.safetensors of a "
                "`babeldraw finetune --lora` (those of other programs are of other models)."
            )
        return Changes(
            arrays,
            metadata["network"],
            metadata["base"],
            metadata["run"],
            int(metadata["rank"]),
            json.loads(metadata["words"]),
        )
    except (safetensors.SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{file} is damaged ({reason}): bring it back from a copy.") from error
