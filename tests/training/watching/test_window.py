import math

import jax.numpy as jnp
import pytest

from babeldraw.errors import UserError
from babeldraw.training.watching.window import MetricWindow


def add(window, step, *values):
    window.add(step, jnp.array(values))


def test_means():
    window = MetricWindow(["painter/loss", "score"])
    for step in range(1, 5):
        add(window, step, step, math.nan if step == 4 else 0.0)
    means = window.mean()
    assert means["painter/loss"] == 2.5
    assert math.isnan(means["score"])  # Only losses and gradients must be finite.
    assert means["skipped_steps"] == 0


def test_skipped_steps_are_counted_and_left_out_of_the_means():
    window = MetricWindow(["a/loss", "b/grad_norm"], max_skipped_in_a_row=3)
    for step, loss in enumerate([1.0, math.nan, math.inf, 3.0, math.nan], 1):
        add(window, step, loss, 1.0)
    means = window.mean()
    assert (means["a/loss"], means["skipped_steps"], window.skipped_in_a_row) == (2.0, 3, 1)
    add(window, 6, 1.0, math.inf)
    means = window.mean()  # Nothing else is there to show.
    assert means["skipped_steps"] == 1 and math.isinf(means["b/grad_norm"])
    assert window.skipped_in_a_row == 2
    add(window, 7, 1.0, 1.0)
    window.check()
    assert window.skipped_in_a_row == 0


def test_too_many_in_a_row_stop_the_run_and_name_the_first_batch():
    window = MetricWindow(
        ["loss"], max_skipped_in_a_row=2, describe_batch=lambda step: f" (batch of {step})"
    )
    for step, loss in enumerate([math.nan, 1.0, math.nan, math.inf, 1.0], 1):
        add(window, step, loss)
    with pytest.raises(
        UserError, match=r"step 4, where loss is inf; 2 .* from step 3 on \(batch of 3\): lower"
    ):
        window.check()


def test_spikes_are_skipped_steps_too():
    window = MetricWindow(["a/loss", "a/spikes", "b/loss"], max_skipped_in_a_row=3)
    for step, (loss, spike) in enumerate([(1.0, 0.0), (9.0, 1.0), (3.0, 0.0), (9.0, 1.0)], 1):
        add(window, step, loss, spike, 1.0)
    means = window.mean()
    assert (means["a/loss"], means["skipped_steps"], means["a/spikes"]) == (2.0, 2, 2)
    for step in (5, 6):
        add(window, step, 9.0, 1.0, 1.0)
    with pytest.raises(UserError, match=r"gradient is a spike; 3 .* from step 4 on: raise SPIKE_F"):
        window.check()


def test_time_that_is_not_training_counts_against_goodput_alone(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("babeldraw.training.watching.window.time.perf_counter", lambda: now[0])
    window = MetricWindow(["loss"], began=80.0)  # 20 s of starting
    for step in (1, 2):
        add(window, step, 1.0)
        now[0] += 5
    now[0] += 30
    window.exclude(30)  # an evaluation
    means = window.mean()
    assert means["seconds_per_step"] == 5
    assert means["goodput"] == pytest.approx(10 / 60)
    add(window, 3, 1.0)
    now[0] += 40
    assert window.mean()["goodput"] == pytest.approx(50 / 100)
