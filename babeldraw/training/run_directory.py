"""The files by which a run directory explains itself. Process 0 alone writes them."""

import jax
from etils import epath
from jax.sharding import Mesh

from babeldraw.training.machine import Machine
from babeldraw.training.metrics import JsonLines, TensorBoard, Terminal, Writer
from babeldraw.training.model_info import model_info
from babeldraw.training.state import Variable


def write_run_files(
    directory: epath.Path,
    config_text: str,
    machine: Machine,
    variables: list[Variable],
    mesh: Mesh,
) -> None:
    """config.gin (the recipe), machine.json and model-info.txt."""
    if jax.process_index() == 0:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "config.gin").write_text(config_text)
        (directory / "machine.json").write_text(machine.to_json())
        (directory / "model-info.txt").write_text(model_info(variables, mesh))


def open_metrics(
    directory: epath.Path, start_step: int, train_steps: int, on_metrics: Writer | None
) -> Writer:
    """One writer to the terminal, metrics.jsonl, TensorBoard and `on_metrics`."""
    writers: list[Writer] = []
    if jax.process_index() == 0:
        writers = [
            Terminal(train_steps),
            JsonLines(directory / "metrics.jsonl", start_step),
            TensorBoard(directory / "tensorboard", start_step),
        ]
        if on_metrics is not None:
            writers.append(on_metrics)

    def write(step: int, split: str, values: dict[str, float]) -> None:
        for writer in writers:
            writer(step, split, values)

    return write
