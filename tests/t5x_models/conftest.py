import os

import pytest

from babeldraw.errors import UserError
from babeldraw.t5x_models import found
from tests.quick import compiled_quickly  # noqa: F401


@pytest.fixture
def t5x_folder():
    """Of the three clones; a test that needs T5X is skipped by name where it is not there."""
    folder = os.environ.get(found.VARIABLE)
    if not folder:
        pytest.skip(f"T5X is not here: {found.VARIABLE} is not set (docs/t5x.md)")
    return folder


@pytest.fixture
def fake_t5x(tmp_path, monkeypatch):
    """Clones with empty packages, on the path; whatever is imported of them is forgotten after."""
    import sys

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
