"""Contract: a program is compiled once; what its figures depend on makes another one of it."""

import dataclasses
import gzip
import os

import jax
import jax.numpy as jnp
import pytest

from babeldraw.parallel.mesh import make_mesh
from babeldraw.parallel.rules import replicated
from babeldraw.planning import kept, programs
from babeldraw.planning.topologies import find_topology, topology_devices

# Tests have JAX keep programs, too, which it cannot load for a TPU that is not there.
pytestmark = pytest.mark.filterwarnings("ignore:Error reading persistent compilation cache")


def mesh(topology="v5e:2x2"):
    return make_mesh({"data": 4}, topology_devices(find_topology(topology)))


def compiled(function=lambda x: x @ x, size=128, devices=None):
    devices = devices or mesh()
    numbers = jax.ShapeDtypeStruct((size, size), jnp.float32, sharding=replicated(devices))
    return programs.run_compiler(lambda: jax.jit(function).lower(numbers), devices, 2**16)


def only(cache):
    (file,) = (cache / "plans").glob("*.json.gz")
    return file


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BABELDRAW_CACHE_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def no_compiler(monkeypatch):
    monkeypatch.setattr(jax.stages.Lowered, "compile", lambda *_: pytest.fail("compiles"))


def test_the_second_time_nothing_is_compiled(cache, monkeypatch):
    first = compiled()
    assert not first.kept and first.text
    assert (cache / "plans").stat().st_mode & 0o77 == 0
    monkeypatch.setattr(jax.stages.Lowered, "compile", lambda *_: pytest.fail("compiles"))
    assert compiled() == dataclasses.replace(first, kept=True)


def test_a_refusal_is_kept(monkeypatch):
    first = compiled(lambda x: x + 1, 2**19)
    assert first.refused and first.available_bytes
    monkeypatch.setattr(jax.stages.Lowered, "compile", lambda *_: pytest.fail("compiles"))
    assert compiled(lambda x: x + 1, 2**19) == dataclasses.replace(first, kept=True)


def test_what_decides_the_figures_decides_the_file(monkeypatch):
    def file(devices=None, function=lambda x: x @ x):
        devices = devices or mesh()
        numbers = jax.ShapeDtypeStruct((128, 128), jnp.float32, sharding=replicated(devices))
        with programs._without_places():
            return kept.program_file(jax.jit(function).lower(numbers), devices)

    def named(x):
        with jax.named_scope("layer"):
            return x @ x

    files = [file(), file(mesh("v6e:2x2")), file(function=named), file(function=lambda x: x + x)]
    turned = jax.sharding.Mesh(mesh().devices[::-1], mesh().axis_names)
    files.append(file(turned))
    with monkeypatch.context() as patch:
        patch.setenv("LIBTPU_INIT_ARGS", "--xla_tpu_scoped_vmem_limit_kib=1024")
        files.append(file())
    programs.optimise_least()
    files.append(file())
    programs.optimise_fully()
    monkeypatch.setattr(kept, "_version", lambda package: "0")
    files.append(file())
    assert len(set(files)) == len(files)
    monkeypatch.undo()
    monkeypatch.setenv("BABELDRAW_CACHE_DIR", str(files[0].parent.parent))
    assert file() == files[0]


def test_a_damaged_file_is_made_anew(cache):
    first = compiled()
    whole = only(cache).read_bytes()
    for damaged in (b"", whole[:-20], gzip.compress(b"[]"), gzip.compress(b'{"text": "x"}')):
        only(cache).write_bytes(damaged)
        again = compiled()
        assert (again.kept, again.text) == (False, first.text)


def test_it_is_turned_off_as_the_cache_of_jax_is(cache):
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        compiled()
    finally:
        jax.config.update("jax_enable_compilation_cache", True)
    assert not (cache / "plans").exists()


def test_those_not_used_for_longest_go_first(cache, monkeypatch):
    program = kept.CompiledProgram(1.0, 2, 3, None, "HloModule m")
    files = [cache / "plans" / f"{name}.json.gz" for name in "abc"]
    for time, file in enumerate(files[:2]):
        kept.write(file, program)
        os.utime(file, (time, time))
    assert kept.read(files[0]) is not None  # used now
    monkeypatch.setattr(kept, "MAX_BYTES", 2 * files[0].stat().st_size)
    kept.write(files[2], program)
    assert [file.exists() for file in files] == [True, False, True]


def test_a_folder_that_cannot_be_written_is_told_and_nothing_kept(cache, capsys):
    (cache / "plans").write_text("a file in its place")
    kept.check_folder()
    assert capsys.readouterr().err == (
        f"warning: what is compiled is not kept: {cache}/plans cannot be written; set "
        "BABELDRAW_CACHE_DIR to a folder of your own.\n"
    )
    assert not compiled().kept and not compiled().kept
