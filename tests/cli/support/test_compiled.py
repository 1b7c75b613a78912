"""Contract: what a command compiled is loaded by the next one, out of a folder that is the user's
own alone; what cannot serve is a warning and no cache.
"""

import os
import stat
import subprocess
import sys

import pytest

from babeldraw.cli.support import compiled

PROGRAM = """\
from babeldraw.cli.support import compiled
compiled.keep_programs()
import jax
seen = []
jax.monitoring.register_event_listener(lambda event, **unused: seen.append(event))
total = float(jax.jit(lambda x: (x @ x).sum())(jax.numpy.ones((8, 8))))
hits, misses = (seen.count(f"/jax/compilation_cache/cache_{name}") for name in ("hits", "misses"))
print(total, hits, misses)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache's folder, of an environment without any setting of it."""
    for name in (compiled.FOLDER, compiled.SWITCH, *compiled.SETTINGS):
        monkeypatch.setenv(name, "")  # so that it is taken back afterwards
        monkeypatch.delenv(name)
    monkeypatch.setenv("BABELDRAW_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "programs"


def start():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    total, hits, misses = done.stdout.split()
    return float(total), int(hits), int(misses)


def test_a_second_start_compiles_nothing(cache):
    total, hits, misses = start()
    assert total == 512
    assert hits == 0
    assert misses >= 2
    half, *_ = cache.glob("*-cache")
    half.with_name(half.name.removesuffix("cache") + "atime").unlink()  # killed while it wrote
    os.utime(half, (0, 0))
    assert start() == (512, misses - 1, 1)
    assert start() == (512, misses, 0)
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700


def test_jax_is_told_of_the_folder_and_its_bound(cache):
    compiled.keep_programs()
    assert os.environ[compiled.FOLDER] == str(cache)
    assert os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] == str(compiled.MAX_BYTES)


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_a_folder_that_others_may_write_into_is_refused(mode, cache, capsys):
    cache.mkdir(parents=True)
    cache.chmod(mode)
    compiled.keep_programs()
    assert compiled.FOLDER not in os.environ
    said = capsys.readouterr().err
    assert said.startswith(
        f"warning: compiled programs are not kept: others may write into {cache}"
    )
    assert said.count("\n") == 1


def test_a_folder_of_another_user_is_refused(cache, monkeypatch, capsys):
    cache.mkdir(mode=0o700, parents=True)
    monkeypatch.setattr(os, "geteuid", lambda: cache.stat().st_uid + 1)
    compiled.keep_programs()
    assert compiled.FOLDER not in os.environ
    assert "belongs to another user" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_a_warning(cache, capsys):
    cache.parent.write_text("a file in the place of the folder")
    compiled.keep_programs()
    assert compiled.FOLDER not in os.environ
    said = capsys.readouterr().err
    assert f"{cache} cannot be written (Not a directory); set BABELDRAW_CACHE_DIR" in said


@pytest.mark.parametrize("setting", ["false", "0", "Off"])
def test_the_user_turns_it_off(setting, cache, monkeypatch):
    monkeypatch.setenv(compiled.SWITCH, setting)
    compiled.keep_programs()
    assert compiled.FOLDER not in os.environ
    assert not cache.exists()


def test_a_folder_of_jaxs_own_setting_stays(cache, monkeypatch):
    monkeypatch.setenv(compiled.FOLDER, "gs://bucket/compiled")
    compiled.keep_programs()
    assert os.environ[compiled.FOLDER] == "gs://bucket/compiled"
    assert "JAX_COMPILATION_CACHE_MAX_SIZE" not in os.environ
    assert not cache.exists()
