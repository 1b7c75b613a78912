"""Babeldraw: text-to-image models in two learned stages, from two CPU cores to a TPU pod.

`babeldraw.load` opens a trained model; see `babeldraw.api`.
"""

import importlib
from typing import Any

from babeldraw import moved

__version__ = "0.1.0"

_OF_API = ("Drawn", "Model", "load")

moved.keep_old_names()


def __getattr__(name: str) -> Any:
    """What `babeldraw.api` has, imported when it is first asked for: JAX takes seconds."""
    if name not in _OF_API:
        raise AttributeError(f"module 'babeldraw' has no attribute {name!r}")
    return getattr(importlib.import_module("babeldraw.api"), name)
