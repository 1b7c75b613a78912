"""A small package for gin files to bind, so that these tests need no model and no JAX."""

import sys
import textwrap
from pathlib import Path

import gin
import pytest

from tests.quick import compiled_quickly  # noqa: F401

LOOP = """
import dataclasses

from babeldraw.errors import UserError


@dataclasses.dataclass(frozen=True)
class Model:
    width: int
    depth: int = 2


def train(objective=None, *, train_steps=1, seed=0, machine=None):
    if seed < 0:
        raise UserError(f"the seed is {seed}; make it at least 0")
    return objective, train_steps, seed
"""

RECIPE = """\
from __gin__ import dynamic_registration
from toyhouse import loop

TRAIN_STEPS = 10
loop.train.train_steps = %TRAIN_STEPS
"""


@pytest.fixture
def toyhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, holding the package `toyhouse` and the working recipe run.gin."""
    package = tmp_path / "toyhouse"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "loop.py").write_text(textwrap.dedent(LOOP))
    (tmp_path / "run.gin").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "toyhouse"]:
        monkeypatch.delitem(sys.modules, name)
    # gin never forgets a registration: it would refuse the next test's toyhouse, and a fake of a
    # babeldraw function after the real one.
    registry, inverse = gin.config._REGISTRY, gin.config._INVERSE_REGISTRY
    monkeypatch.setattr(gin.config, "_REGISTRY", gin.selector_map.SelectorMap())
    for selector, configurable in registry.items():
        if not selector.startswith("babeldraw."):
            gin.config._REGISTRY[selector] = configurable
    kept = {
        function: configurable
        for function, configurable in inverse.items()
        if not configurable.selector.startswith("babeldraw.")
    }
    monkeypatch.setattr(gin.config, "_INVERSE_REGISTRY", kept)
    yield tmp_path
    gin.clear_config()
