"""The package's own files: extras, pins and scripts."""

import importlib.metadata
import os
import re
import subprocess

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
