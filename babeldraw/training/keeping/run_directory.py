"""The files by which a run directory explains itself. Process 0 alone writes them."""

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh
from jaxtyping import UInt8

from babeldraw import files
from babeldraw.training.keeping.model_info import model_info
from babeldraw.training.machine import Machine
from babeldraw.training.state import Variable
from babeldraw.training.watching.metrics import JsonLines, PictureWriter, Terminal, Writer
from babeldraw.training.watching.trackers import TensorBoard, WeightsAndBiases


def write_run_files(
    directory: epath.Path,
    config_text: str,
    machine: Machine,
    variables: list[Variable],
    mesh: Mesh,
    start_step: int = 0,
) -> None:
    """config.gin (the recipe), machine.json and model-info.txt.

    The recipe of the steps before `start_step` is kept where it was another one.
    """
    if jax.process_index() == 0:
        files.mark_output(directory, ours=True)
        if start_step:
            _keep_other_recipe(directory, config_text, start_step)
        (directory / "config.gin").write_text(config_text)
        (directory / "machine.json").write_text(machine.to_json())
        (directory / "model-info.txt").write_text(model_info(variables, mesh))


def open_metrics(
    directory: epath.Path,
    start_step: int,
    train_steps: int,
    on_metrics: Writer | None,
    wandb_project: str = "",
) -> tuple[Writer, PictureWriter]:
    """Writers to all there is: of metrics and of pictures.

    Metrics go to the terminal, metrics.jsonl, TensorBoard, W&B if asked for, and `on_metrics`;
    pictures to TensorBoard and W&B.

    Raises:
      UserError: W&B is asked for and not installed.
    """
    writers: list[Writer] = []
    trackers: list[TensorBoard | WeightsAndBiases] = []
    if jax.process_index() == 0:
        trackers.append(TensorBoard(directory / "tensorboard", start_step))
        if wandb_project:
            trackers.append(WeightsAndBiases(wandb_project, directory))
        writers = [
            Terminal(train_steps),
            JsonLines(directory / "metrics.jsonl", start_step),
            *trackers,
        ]
        if on_metrics is not None:
            writers.append(on_metrics)

    def write(step: int, split: str, values: dict[str, float]) -> None:
        for writer in writers:
            writer(step, split, values)

    def show(step: int, name: str, picture: UInt8[np.ndarray, "height width 3"]) -> None:
        for tracker in trackers:
            tracker.picture(step, name, picture)

    return write, show


def _keep_other_recipe(directory: epath.Path, config_text: str, start_step: int) -> None:
    """Renames config.gin to config-until-STEP.gin, and says what differs."""
    path = directory / "config.gin"
    before = path.read_text() if path.exists() else config_text
    if before == config_text:
        return
    kept = directory / f"config-until-{start_step:06d}.gin"
    again = 1
    while kept.exists():  # Changed before from the same checkpoint.
        again += 1
        kept = directory / f"config-until-{start_step:06d}-{again}.gin"
    path.rename(kept)
    old, new = before.splitlines(), config_text.splitlines()
    changed = [f"-{line}" for line in old if line not in new]
    changed += [f"+{line}" for line in new if line not in old]
    print("\n".join([f"the recipe has changed since {kept.name}:", *changed]), flush=True)
