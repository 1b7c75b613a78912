"""Contract: the steps of a quickstart follow from a trial by the stated rule."""

import jax
import pytest

from babeldraw.cli.support import pace


def records(step, look, start):
    """As the trial's metrics.jsonl would have them, of a machine with these times; began at 100."""
    found, time = [], 100.0 + start
    for number in (10, 20, 30):
        time += 10 * step
        found.append({"step": number, "split": "train", "seconds_per_step": step, "time": time})
        time += look
        found.append({"step": number, "split": "eval", "time": time})
    return found


def test_the_trial_tells_what_each_thing_takes():
    found = pace._pace(records(step=0.5, look=3.0, start=20.0), 100.0, trial=44.0)
    assert found.step == pytest.approx(0.5)
    assert found.look == pytest.approx(3.0)
    assert found.start == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("seconds", "steps"),
    [
        (44 + 20 + 8 * 3 + 500, 1000),
        (44 + 20 + 8 * 3 + 619, 1200),  # 1,238 would fit: two digits
        (44 + 20 + 8 * 3 + 60, 120),
        (10, 100),  # the least
    ],
)
def test_as_many_steps_as_fit(seconds, steps):
    measured = pace.Pace(start=20, step=0.5, look=3, trial=44)
    assert measured.steps_in(seconds) == steps


def test_it_is_said_where_the_least_does_not_fit():
    measured = pace.Pace(start=20, step=0.5, look=3, trial=44)
    assert "100 steps in 1.0 minutes, which takes 2.3" in measured.sentence(100, 60)
    assert "which takes" not in measured.sentence(100, 600)


def test_what_kept_programs_save_counts_as_if_it_had_been_compiled():
    found = pace._pace(records(step=0.5, look=3.0, start=5.0), 100.0, trial=29.0, saved=15.0)
    assert found.start == pytest.approx(20.0)
    with pace._saved_by_kept_programs() as saved:
        jax.monitoring.record_event_duration_secs(
            "/jax/compilation_cache/compile_time_saved_sec", 2.5
        )
        jax.monitoring.record_event_duration_secs("/jax/another", 1.0)
    assert saved == [2.5]
