"""A trace of a few steps, for XProf or Perfetto."""

import re
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax
from etils import epath

from babeldraw.errors import UserError


class Profiler:
    """A context manager that traces the steps `first:last`, both of them included.

    Process 0 writes the trace, as JAX's profiler makes it, under `directory`, which may be remote.

    Raises:
      UserError: `steps` is not of that form.
    """

    def __init__(self, steps: str, directory: epath.Path) -> None:
        """`steps` is such as "10:15"; "" traces nothing."""
        self._first = self._last = 0
        if steps:
            match = re.fullmatch(r"(\d+):(\d+)", steps)
            if match is None or not 0 < int(match[1]) <= int(match[2]):
                raise UserError(
                    f"profile_steps is {steps!r}: give the first and the last step, as in '10:15'"
                )
            self._first, self._last = int(match[1]), int(match[2])
        self._directory = directory
        self._local: tempfile.TemporaryDirectory[str] | None = None

    def before(self, step: int) -> None:
        """To be called before each step."""
        if step == self._first and jax.process_index() == 0:
            self._local = tempfile.TemporaryDirectory()
            jax.profiler.start_trace(self._local.name)

    def after(self, step: int, values: Any) -> None:
        """To be called after each step, with arrays that it computed."""
        if step == self._last and self._local is not None:
            jax.block_until_ready(values)
            self._stop()

    def _stop(self) -> None:
        if self._local is None:
            return
        jax.profiler.stop_trace()
        with self._local as folder:
            files = [path for path in Path(folder).rglob("*") if path.is_file()]
            for path in files:
                target = self._directory / str(path.relative_to(folder))
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
        self._local = None
        print(f"traced steps {self._first} to {self._last}: {self._directory}", flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()
