"""The package's own files: extras, pins and scripts."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
from packaging.requirements import Requirement

from babeldraw.cli.support import paths
from babeldraw.t5x_models.found import REPOSITORIES

ROOT = paths.repository_root()
EXTRAS = {"dev", "plan", "tpu", "cuda", "eval", "serve", "wandb", "t5x"}


def _pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    return {_canonical(name): version for name, version in pins.items()}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _requirements() -> list[Requirement]:
    return [Requirement(text) for text in importlib.metadata.requires("babeldraw") or []]


@pytest.fixture(autouse=True)
def _installed():
    try:
        importlib.metadata.distribution("babeldraw")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("babeldraw is not installed here")


def test_extras():
    provided = importlib.metadata.metadata("babeldraw").get_all("Provides-Extra")
    assert set(provided) >= EXTRAS


def test_constraints_pin_what_set_up_installs_and_satisfy_its_bounds():
    pins = _pins()
    for requirement in _requirements():
        if requirement.marker is None or requirement.marker.evaluate({"extra": "dev"}):
            version = pins[_canonical(requirement.name)]
            assert requirement.specifier.contains(version), requirement


def test_what_t5x_needs_is_pinned():
    """Its own sources to commits, what it imports to versions."""
    assert all(re.fullmatch("[0-9a-f]{40}", commit) for commit in REPOSITORIES.values())
    (extra,) = re.findall(r'"t5x": \[(.+?)\]', (ROOT / "setup.py").read_text(), re.DOTALL)
    pins = _pins()
    for requirement in map(Requirement, re.findall(r'"(.+?)"', extra)):
        assert requirement.specifier.contains(pins[_canonical(requirement.name)]), requirement


def test_a_wheel_holds_what_is_no_module(tmp_path):
    """The page, the assets and the mark of types: what a checkout has beside its modules."""
    source = tmp_path / "source"
    listed = subprocess.run(
        ["git", "ls-files", "babeldraw"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    wanted = {name for name in filter(None, listed) if not name.endswith(".py")}
    for name in (*filter(None, listed), "setup.py", "README.md", "LICENSE", "NOTICE"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        if name in wanted:
            (source / name).touch()  # tens of megabytes, of which the names are asked
        else:
            shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "setup.py", "--quiet", "bdist_wheel", "--dist-dir", str(tmp_path)]
    subprocess.run(command, cwd=source, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    assert {"babeldraw/py.typed", "babeldraw/serving/page/index.html"} <= wanted
    assert wanted <= held, sorted(wanted - held)[:5]


def test_set_up_without_a_recent_python_says_so(tmp_path):
    environment = {**os.environ, "PYTHON": "/nowhere/python", "BABELDRAW_VENV": str(tmp_path / "v")}
    done = subprocess.run(
        ["bash", str(ROOT / "launch/setup.sh")],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "no Python >= 3.11" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "v").exists()
