import importlib.util
import os
import sys

import pytest

from babeldraw.errors import UserError
from babeldraw.t5x_models import found
from tests.quick import compiled_quickly  # noqa: F401


@pytest.fixture(scope="session")
def real_t5x():
    """A test that needs T5X is skipped by name where it is neither named nor installed."""
    if not os.environ.get(found.VARIABLE) and importlib.util.find_spec("t5x") is None:
        pytest.skip(f"T5X is not here: set {found.VARIABLE} (docs/t5x.md)")
    found.put_on_path()
    found.require()


@pytest.fixture
def fake_t5x(tmp_path, monkeypatch):
    """Clones with empty packages, on the path; whatever is imported of them is forgotten after."""
    for name in found.REPOSITORIES:
        (tmp_path / name / name).mkdir(parents=True)
        (tmp_path / name / name / "__init__.py").touch()
    monkeypatch.setenv(found.VARIABLE, str(tmp_path))
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in [name for name in sys.modules if name.partition(".")[0] in found.REPOSITORIES]:
        monkeypatch.delitem(sys.modules, name)
    try:
        found.put_on_path()
    except UserError as error:
        pytest.fail(str(error))
    yield tmp_path / "t5x" / "t5x"
    for name in [name for name in sys.modules if name.partition(".")[0] in found.REPOSITORIES]:
        del sys.modules[name]
