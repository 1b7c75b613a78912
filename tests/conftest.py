"""Set before JAX is imported: CPU, as eight devices, so that sharding is real in every test."""

import os
import tempfile

import pytest
from jaxtyping import install_import_hook

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# After what the environment asks for, such as an instruction set.
os.environ["XLA_FLAGS"] = (
    f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8".strip()
)

# In tests, and only there, every call of these is checked against its annotated shapes.
_CHECKED = ("models", "objectives.losses", "optimizers", "sampling", "training.watching.pictures")
_HOOK = install_import_hook([f"babeldraw.{name}" for name in _CHECKED], "beartype.beartype")


def pytest_addoption(parser):
    parser.addoption(
        "--optimised",
        action="store_true",
        help="compile everything as users' programs are, folders of tests/quick.py too",
    )


def pytest_configure(config):
    """Compiling is most of the time: one folder of compiled programs for all tests of a run, for
    the workers of pytest-xdist, and for the processes that tests start.
    """
    if hasattr(config, "workerinput"):
        return  # has the environment of the first process
    config.compiled = tempfile.TemporaryDirectory(prefix="babeldraw-compiled-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = config.compiled.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


def pytest_unconfigure(config):
    if hasattr(config, "compiled"):
        config.compiled.cleanup()


@pytest.fixture(scope="module", autouse=True)
def environment_is_left_as_it_was():
    """Commands that tests run in their own process set variables, as those of users may; what one
    file leaves behind would change what the next one sees, in some order of the files alone.
    """

    def ours():
        return {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("BABELDRAW_", "JAX_", "LIBTPU_", "XLA_"))
        }

    before = ours()
    yield
    after = ours()
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    for name in changed:
        os.environ.pop(name, None)
    os.environ.update({name: before[name] for name in changed if name in before})
    assert not changed, f"this file's tests leave other values behind: {sorted(changed)}"
