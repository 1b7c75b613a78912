"""Old names of modules, which recipes and the config.gin of older runs may name. Until 0.2.

Importing one gives the module of today, with a warning.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType

_ROOMS = {
    "data.sources": "pictures picture_source readers shards records record_shards tfds_source "
    "token_set",
    "data.picture_files": "images",
    "data.streams": "pipeline",
    "data.sets": "emoji emoji_build emoji_grid emoji_sheets clipart clipart_build",
    "weights": "torch_files feature_weights build_squeezenet",
    "training.keeping": "checkpoints checkpoint_files saving claim fingerprint run_directory "
    "model_info",
    "training.watching": "hooks window metrics trackers curves pictures profiler watchdog hosts",
    "cli.support": "gin_config gin_errors runs paths terminal prompts drawing",
}

MOVED = {
    f"babeldraw.{'data' if room == 'weights' else room.split('.')[0]}.{name}": (
        f"babeldraw.{room}.{name}"
    )
    for room, names in _ROOMS.items()
    for name in names.split()
}
"""Old name -> name of today."""


def name_of_today(name: str) -> str:
    """Of a class in the settings of an older run, such as `data.pipeline.Dataset`."""
    module, _, cls = f"babeldraw.{name}".rpartition(".")
    return f"{MOVED.get(module, module)}.{cls}".removeprefix("babeldraw.")


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in MOVED:
            return None
        return importlib.util.spec_from_loader(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        new = MOVED[module.__name__]
        warnings.warn(
            f"{module.__name__} is now {new}; the old name goes with version 0.2",
            FutureWarning,
            stacklevel=2,
        )
        # What stands in sys.modules after this is what the import gives.
        sys.modules[module.__name__] = importlib.import_module(new)


def keep_old_names() -> None:
    """Makes the old names importable."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
