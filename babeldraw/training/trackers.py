"""Where metrics go besides the terminal and metrics.jsonl: TensorBoard, Weights & Biases."""

import hashlib
import shutil
import tempfile
import weakref
from pathlib import Path

from etils import epath

from babeldraw.errors import UserError


class TensorBoard:
    """Scalars under model_dir/tensorboard.

    An event file grows at its end, which object stores do not know: where the directory is remote
    it is written here, and copied after each record.
    """

    def __init__(self, directory: epath.Path, start_step: int) -> None:
        import tensorboardX  # Only the writing process needs it.

        self._directory = directory
        self._here: Path | None = None
        if "://" in str(directory):
            self._here = Path(tempfile.mkdtemp())
            weakref.finalize(self, shutil.rmtree, self._here, ignore_errors=True)
        self._writer = tensorboardX.SummaryWriter(
            str(self._here or directory),
            purge_step=start_step + 1 if start_step else None,
        )

    def __call__(self, step: int, split: str, values: dict[str, float]) -> None:
        """Adds the record's values."""
        for name, value in values.items():
            self._writer.add_scalar(f"{split}/{name}", value, step)
        self._writer.flush()
        if self._here is not None:
            self._directory.mkdir(parents=True, exist_ok=True)
            for path in self._here.iterdir():
                (self._directory / path.name).write_bytes(path.read_bytes())


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
