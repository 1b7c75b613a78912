"""What the compiler said of a program, kept: a plan of the same program does not compile again.

What libtpu compiles without a TPU cannot be loaded again, hence the figures are kept and no
program: memory, seconds and the optimised HLO as text, as JSON, which is read and never run. A
file's name is a hash of all that decides them: the program as it is lowered, its devices, JAX's
settings of the compiler, the flags of XLA and libtpu, and the versions.

As for JAX's own cache, `JAX_ENABLE_COMPILATION_CACHE=false` turns it off.
"""

import dataclasses
import gzip
import hashlib
import json
import os
import pathlib
import sys
from importlib import metadata
from typing import Any

import jax
from jax.sharding import Mesh

from babeldraw.errors import UserError
from babeldraw.files import cache_dir, written_whole

MAX_BYTES = 2**28
"""Of all programs together. Those that were not used for longest go first."""

_SWITCH = "jax_enable_compilation_cache"
_SETTINGS = ("jax_exec_time_optimization_effort", "jax_memory_fitting_effort")
_FLAGS = ("XLA_FLAGS", "LIBTPU_INIT_ARGS")
_PACKAGES = ("jax", "jaxlib", "libtpu")


@dataclasses.dataclass(frozen=True)
class CompiledProgram:
    """What the compiler made of a program, or why it refused.

    Attributes:
      compile_seconds: tracing and compiling, when it was compiled.
      peak_bytes: memory of one chip at the fullest moment, arguments included; of a program that
        was refused, what it asked for.
      argument_bytes: of one chip's share of the arguments.
      available_bytes: memory that the compiler would give, where it refused and said so.
      text: the optimised HLO; empty when refused.
      kept: it was compiled by an earlier plan.
    """

    compile_seconds: float
    peak_bytes: int
    argument_bytes: int
    available_bytes: int | None
    text: str
    kept: bool = False

    @property
    def refused(self) -> bool:
        """Whether the compiler found no way to fit it into memory."""
        return not self.text


def check_folder() -> None:
    """Says on stderr where nothing can be kept."""
    if not getattr(jax.config, _SWITCH):
        return
    folder = cache_dir() / "plans"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        writable = False
    if not writable:
        print(
            f"warning: what is compiled is not kept: {folder} cannot be written; set "
            "BABELDRAW_CACHE_DIR to a folder of your own.",
            file=sys.stderr,
        )


def program_file(lowered: jax.stages.Lowered, mesh: Mesh) -> pathlib.Path | None:
    """Where the figures of a program for the devices of `mesh` are; None where none are kept."""
    if not getattr(jax.config, _SWITCH):
        return None
    decides = [
        # With the names of operations: the report sorts what is sent by them.
        lowered.as_text(debug_info=True),
        *(f"{device.device_kind} {device!r}" for device in mesh.devices.flat),
        *(f"{name}={getattr(jax.config, name)}" for name in _SETTINGS),
        *(f"{name}={os.environ.get(name, '')}" for name in _FLAGS),
        *(f"{name}={_version(name)}" for name in _PACKAGES),
    ]
    key = hashlib.sha256("\0".join(decides).encode()).hexdigest()
    return cache_dir() / "plans" / f"{key}.json.gz"


def read(file: pathlib.Path) -> CompiledProgram | None:
    """The program of a `program_file`; None where it is not there or damaged."""
    try:
        program = _parse(json.loads(gzip.decompress(file.read_bytes())))
        os.utime(file)  # used now
    except (OSError, EOFError, ValueError, TypeError, KeyError):
        return None
    return program


def _parse(figures: dict[str, Any]) -> CompiledProgram:
    available = figures["available_bytes"]
    return CompiledProgram(
        float(figures["compile_seconds"]),
        int(figures["peak_bytes"]),
        int(figures["argument_bytes"]),
        None if available is None else int(available),
        str(figures["text"]),
        kept=True,
    )


def write(file: pathlib.Path, program: CompiledProgram) -> None:
    """Keeps a program; does nothing where its folder cannot be written."""
    text = json.dumps(dataclasses.asdict(program))
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with written_whole(file) as output:
            output.write(gzip.compress(text.encode(), mtime=0))
        _drop_oldest(file.parent)
    except (OSError, UserError):
        return


def _drop_oldest(folder: pathlib.Path) -> None:
    """Deletes what is over `MAX_BYTES`."""
    files = [(file.stat(), file) for file in folder.glob("*.json.gz")]
    room = MAX_BYTES
    for found, file in sorted(files, key=lambda pair: -pair[0].st_mtime):
        room -= found.st_size
        if room < 0:
            file.unlink(missing_ok=True)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # what needs it says so
        return ""
