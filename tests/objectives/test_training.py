"""Contract: the real objectives compute the same on 1 and 8 devices, stopped or not."""

import jax
import numpy as np
import pytest

from babeldraw.training.loop import train
from babeldraw.training.machine import Machine
from tests.objectives import tiny_runs

pytestmark = pytest.mark.slow  # compiling; tests/training has the same of small objectives


def run(objective, model_dir, train_steps, *, devices=1, checkpoint_every=0):
    losses = {}

    def record(step, split, values):
        losses[step] = values["loss"]

    state = train(
        objective,
        model_dir=str(model_dir),
        train_dataset=tiny_runs.Pictures(),
        train_steps=train_steps,
        machine=Machine(checkpoint_every=checkpoint_every),
        log_every=1,
        on_metrics=record,
        devices=jax.devices()[:devices],
    )
    return state, losses


@pytest.mark.parametrize("make", [tiny_runs.text_to_image, tiny_runs.tokenizer])
def test_one_and_eight_devices_give_the_same_losses(make, tmp_path):
    _, one = run(make(), tmp_path / "one", 4)
    state, eight = run(make(), tmp_path / "eight", 4, devices=8)
    leaf = jax.tree.leaves(state.params)[0]
    assert len(leaf.sharding.device_set) == 8
    assert one.keys() == eight.keys() == {1, 2, 3, 4}
    for step, loss in one.items():
        assert eight[step] == pytest.approx(loss, rel=1e-6)
    assert len(set(one.values())) == 4


def test_resumed_run_is_bitwise_the_unbroken_one(tmp_path):
    whole, expected = run(tiny_runs.text_to_image(), tmp_path / "whole", 4)
    _, first = run(tiny_runs.text_to_image(), tmp_path / "broken", 2)
    resumed, second = run(tiny_runs.text_to_image(), tmp_path / "broken", 4)
    assert first | second == expected
    assert second.keys() == {3, 4}
    left, right = jax.device_get((whole, resumed))
    jax.tree.map(np.testing.assert_array_equal, left, right)
