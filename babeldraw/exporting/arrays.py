"""Arrays in safetensors files: JSON and raw numbers, which the library checks; nothing runs."""

import hashlib
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy
from etils import epath
from jaxtyping import Shaped

from babeldraw.errors import UserError
from babeldraw.files import written_whole

DTYPES = {"F32": np.dtype(np.float32), "BF16": np.dtype(ml_dtypes.bfloat16), "I8": np.dtype("i1")}
"""What an exported file holds, by safetensors' names."""


def write(path: epath.Path, arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> str:
    """Writes the file, whole or not at all; returns its SHA-256 (hex)."""
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    data = safetensors.numpy.save(contiguous, {"format": "babeldraw"})
    with written_whole(path) as file:
        file.write(data)
    return hashlib.sha256(data).hexdigest()


def read(path: epath.Path, sha256: str) -> dict[str, Shaped[np.ndarray, "..."]]:
    """The arrays of a file of `write`.

    Raises:
      UserError: there is no such file, its header is not what its numbers are, it holds numbers of
        another type, or it is another file than the one whose hash is given.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: bring it back from a copy.") from error
    try:
        described = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
        found = {name: _array(each) for name, each in described}
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} is damaged ({reason}): bring it back from a copy.") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise UserError(
            f"{path} is not the file that its config.json names (their SHA-256 differ): bring both "
            "back from one copy."
        )
    return found


def _array(described: Mapping[str, Any]) -> Shaped[np.ndarray, "..."]:
    dtype = DTYPES.get(described["dtype"])
    if dtype is None:
        raise ValueError(f"it holds numbers of the type {described['dtype'][:20]}")
    return np.frombuffer(described["data"], dtype).reshape(described["shape"])
