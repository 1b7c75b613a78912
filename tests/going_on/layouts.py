"""A small pipelined text-to-image run, for processes to go on with in several layouts."""

import json
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils

from babeldraw.training.keeping.checkpoint_files import by_name
from babeldraw.training.loop import train
from babeldraw.training.machine import Machine
from tests.objectives import tiny_runs

SAVED, STEPS = 2, 4
PIPELINED = {"mesh": {"data": 4, "stage": 4}, "num_microbatches": 4}


def go_on(model_dir, steps, devices, **machine):
    """Trains to `steps`; returns the state."""
    return train(
        tiny_runs.text_to_image(
            encoder_layers=4, decoder_layers=8, codebook_size=16, optimizer=tiny_runs.ADAFACTOR
        ),
        model_dir=str(model_dir),
        train_dataset=tiny_runs.Pictures(batch_size=16),
        train_steps=steps,
        machine=Machine(**({"checkpoint_every": 0} | machine)),
        log_every=1,
        devices=jax.devices()[:devices],
    )


def restore_then_go_on(model_dir, devices, **machine):
    """Writes what was restored, as MODEL_DIR/restored.npz, and then trains to `STEPS`."""
    state = go_on(model_dir, SAVED, devices, **machine)
    arrays = {}
    for name, array in by_name((state.params, state.optimizer_state)).items():
        host = multihost_utils.process_allgather(array, tiled=True)
        arrays[name] = np.asarray(host).reshape(-1)
    if jax.process_index() == 0:
        np.savez(Path(model_dir) / "restored.npz", **arrays)
    go_on(model_dir, STEPS, devices, **machine)


def losses(model_dir):
    """Step -> loss, as logged."""
    lines = (Path(model_dir) / "metrics.jsonl").read_text().splitlines()
    return {record["step"]: record["loss"] for record in map(json.loads, lines)}
