"""Reads state dicts that PyTorch saved, without PyTorch and without running what they contain.

A .pth file is a pickle, and a pickle may call anything. Here it can name three things: an ordered
dict, the rebuilding of a tensor, and the storage classes; anything else is refused.
"""

import collections
import io
import math
import os
import pickle
import zipfile
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from babeldraw.errors import UserError

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The tensors of a .pth file (zip or legacy format), by name.

    Raises:
      UserError: the file cannot be read, is damaged, or holds anything but tensors by name.
    """
    try:
        file = open(path, "rb")  # noqa: SIM115 - apart, as a damaged file may raise OSError, too
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): name a weights file that is here."
        ) from error
    with file:
        try:
            return _read_zip(file) if zipfile.is_zipfile(file) else _read_legacy(file)
        except Exception as error:  # a damaged pickle may raise nearly anything
            raise UserError(
                f"{path} is no state dict of tensors ({error}): save one with "
                "`torch.save(model.state_dict(), path)`."
            ) from error


class _Storage:
    """Raw bytes, which the legacy format brings after the tensors that look into them."""

    def __init__(self, dtype: Any, numel: int, data: bytes | None) -> None:
        self.dtype, self.numel = np.dtype(dtype), numel
        self.data = None if data is None else np.frombuffer(data, self.dtype, numel)


class _Tensor:
    """A tensor whose numbers are taken when its storage is there."""

    def __init__(self, storage: Any, offset: Any, size: Any, stride: Any) -> None:
        if not isinstance(storage, _Storage) or len(size) != len(stride):
            raise ValueError("a tensor is malformed")
        if not all(isinstance(n, int) and n >= 0 for n in (offset, *size, *stride)):
            raise ValueError("a tensor has a shape that is not of whole numbers")
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        # The product, too: a stride of 0 could make any number of elements out of one.
        if math.prod(size) > storage.numel or (math.prod(size) and last >= storage.numel):
            raise ValueError("a tensor is larger than its storage")
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride

    def numpy(self) -> np.ndarray:
        if self.storage.data is None:
            raise ValueError("a storage is missing")
        data, width = self.storage.data[self.offset :], self.storage.dtype.itemsize
        if not math.prod(self.size):
            return np.zeros(self.size, self.storage.dtype)
        strides = [step * width for step in self.stride]
        return np.lib.stride_tricks.as_strided(data, self.size, strides).copy()


class _Unpickler(pickle._Unpickler):
    """Knows the names of a state dict only.

    The unpickler in Python, as the one in C gives out up to 64 GiB if a file of ten bytes says so
    (its memo is a list, which one opcode can lengthen at will).
    """

    def __init__(self, file: Any, load_storage: Callable[[Any, str, int], _Storage]) -> None:
        super().__init__(file, encoding="utf-8")
        self._load_storage = load_storage

    def find_class(self, module: str, name: str) -> Any:
        # A pickle may set attributes of what it names: hence all made anew for this file.
        if (module, name) == ("collections", "OrderedDict"):
            return type("StateDict", (collections.OrderedDict,), {})
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *_: _Tensor(storage, offset, size, stride)
        if module == "torch" and name in _STORAGES:
            return _StorageType(name)
        raise ValueError(f"it names {module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage_type, key, _, numel = pid[:5]
        if kind != "storage" or not isinstance(storage_type, _StorageType):
            raise ValueError("a storage is malformed")
        if any(view is not None for view in pid[5:]):
            raise ValueError("a storage is a view of another")
        return self._load_storage(_STORAGES[str(storage_type)], key, numel)


class _StorageType(str):
    """The name of a storage class."""

    __slots__ = ()


def _read_zip(file: Any) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(file) as archive:
        names = {info.filename: info for info in archive.infolist()}
        (pickled,) = [name for name in names if name.endswith("/data.pkl")]
        folder = pickled.removesuffix("data.pkl")

        def read(name: str) -> bytes:
            # PyTorch compresses nothing; a small file that unfolds into a huge one is no model.
            if names[name].compress_type != zipfile.ZIP_STORED:
                raise ValueError("its parts are compressed")
            return archive.read(name)

        if names.get(f"{folder}byteorder") and read(f"{folder}byteorder") != b"little":
            raise ValueError("it was saved on a big-endian machine")

        def load_storage(dtype: Any, key: str, numel: int) -> _Storage:
            return _Storage(dtype, numel, read(f"{folder}data/{key}"))

        return _tensors(_Unpickler(io.BytesIO(read(pickled)), load_storage).load())


def _read_legacy(file: Any) -> dict[str, np.ndarray]:
    """Five pickles (magic number, version, machine, state dict, keys), then the storages."""
    file.seek(0)
    storages: dict[str, _Storage] = {}

    def load_storage(dtype: Any, key: str, numel: int) -> _Storage:
        return storages.setdefault(key, _Storage(dtype, numel, None))

    magic, version, machine, state, keys = (_Unpickler(file, load_storage).load() for _ in range(5))
    if magic != _LEGACY_MAGIC or version != 1001 or not machine["little_endian"]:
        raise ValueError("it is not of a format of PyTorch's")
    for key in keys:
        storage = storages[key]
        numel = int.from_bytes(file.read(8), "little")
        data = file.read(storage.numel * storage.dtype.itemsize)
        if numel != storage.numel:
            raise ValueError("a storage has another length than its tensors say")
        storage.data = np.frombuffer(data, storage.dtype, numel)
    return _tensors(state)


def _tensors(state: Any) -> dict[str, np.ndarray]:
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, _Tensor) for name, tensor in state.items()
    ):
        raise ValueError("it holds more than tensors by name")
    return {name: tensor.numpy() for name, tensor in state.items()}
