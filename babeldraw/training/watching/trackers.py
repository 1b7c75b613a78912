"""Where metrics go besides the terminal and metrics.jsonl: TensorBoard, Weights & Biases."""

import functools
import hashlib
import shutil
import tempfile
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from etils import epath
from jaxtyping import UInt8

from babeldraw.errors import UserError
from babeldraw.files import is_remote


class TensorBoard:
    """Scalars under model_dir/tensorboard, and pictures under model_dir/tensorboard/pictures.

    An event file grows at its end, which object stores do not know: where the directory is remote
    it is written here, and copied after each record.
    """

    def __init__(self, directory: epath.Path, start_step: int) -> None:
        # Only the writing process needs it. Its SummaryWriter leaves the writing to a thread, which
        # flush() does not wait for: the last record could miss the copy.
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import SessionLog

        self._directory, self._start_step = directory, start_step
        self._here: Path | None = None
        if is_remote(directory):
            self._here = Path(tempfile.mkdtemp())
            weakref.finalize(self, shutil.rmtree, self._here, ignore_errors=True)
        folder = self._here or directory
        folder.mkdir(parents=True, exist_ok=True)
        self._events = EventsWriter(str(folder / "events"))
        weakref.finalize(self, self._events.close)
        if start_step:  # what was written after the checkpoint that the run goes on from is void
            self._write(start_step + 1, session_log=SessionLog(status=SessionLog.START))

    def __call__(self, step: int, split: str, values: dict[str, float]) -> None:
        """Adds the record's values."""
        from tensorboardX.summary import scalar

        for name, value in values.items():
            self._write(step, summary=scalar(f"{split}/{name}", value))
        self._flush()

    def picture(self, step: int, name: str, picture: UInt8[np.ndarray, "height width 3"]) -> None:
        """Adds a picture; in files of their own, which need not be copied with each record."""
        from tensorboardX.summary import image

        self._pictures._write(step, summary=image(name, picture, dataformats="HWC"))
        self._pictures._flush()

    @functools.cached_property
    def _pictures(self) -> "TensorBoard":
        return TensorBoard(self._directory / "pictures", self._start_step)

    def _flush(self) -> None:
        self._events.flush()
        if self._here is not None:
            self._directory.mkdir(parents=True, exist_ok=True)
            for path in self._here.iterdir():
                (self._directory / path.name).write_bytes(path.read_bytes())

    def _write(self, step: int, **content: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self._events.write_event(Event(wall_time=time.time(), step=step, **content))


class WeightsAndBiases:
    """The same values in a run on wandb.ai, one for each run directory; a resumed run goes on.

    Raises:
      UserError: the package is not installed.
    """

    def __init__(self, project: str, directory: epath.Path) -> None:
        try:
            import wandb
        except ModuleNotFoundError as error:
            raise UserError(
                "wandb_project is set and the package wandb is not installed: install it with "
                '`pip install "babeldraw[wandb]"`, or leave wandb_project empty.'
            ) from error
        identity = hashlib.sha256(str(directory).encode()).hexdigest()[:16]
        self._run = wandb.init(project=project, name=directory.name, id=identity, resume="allow")

    def __call__(self, step: int, split: str, values: dict[str, float]) -> None:
        """Adds the record's values."""
        self._run.log({f"{split}/{name}": value for name, value in values.items()}, step=step)

    def picture(self, step: int, name: str, picture: UInt8[np.ndarray, "height width 3"]) -> None:
        """Adds a picture."""
        import wandb

        self._run.log({f"pictures/{name}": wandb.Image(picture)}, step=step)
