"""The classes that a run's settings may name: Babeldraw's own, in the rooms that recipes bind."""

import dataclasses
import functools
import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType

from babeldraw import models, objectives, optimizers
from babeldraw.parallel import execution, schedule
from babeldraw.training.keeping import checkpoints
from babeldraw.training.keeping.settings import class_name
from babeldraw.weights import feature_weights


@functools.cache
def known_classes() -> Mapping[str, type]:
    """`class_name` -> dataclass, of every module in those rooms; a new module needs no entry."""
    modules = [execution, schedule, checkpoints, feature_weights]
    for room in (objectives, models, optimizers):
        for found in pkgutil.iter_modules(room.__path__):
            modules.append(importlib.import_module(f"{room.__name__}.{found.name}"))
    return MappingProxyType(
        {
            class_name(cls): cls
            for module in modules
            for cls in vars(module).values()
            if isinstance(cls, type)
            and cls.__module__ == module.__name__
            and dataclasses.is_dataclass(cls)
        }
    )
