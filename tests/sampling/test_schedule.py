"""Contract: every token once, after all it reads, and what it sees is in the cache just then."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from babeldraw.errors import UserError
from babeldraw.sampling.schedule import allows_wavefront, make_schedule
from tests.models import tiny


def model_of(
    rows, columns, kernel, convention="row_start_above", wrap=False, make=tiny.transformer
):
    return make(
        rows=rows,
        columns=columns,
        attention_kernel=kernel,
        decoder_inputs=convention,
        attention_wrap=wrap,
    )


def inputs_of(model, position):
    """Positions whose tokens the decoder reads at `position`."""
    row, column = divmod(position, model.columns)
    if model.decoder_inputs == "raster":
        return [position - 1] if position else []
    left = [position - 1] if column else []
    above = [position - model.columns] if row else []
    return left + (above if model.decoder_inputs == "row_start_above" else [])


@given(
    st.integers(1, 6),
    st.integers(1, 6),
    st.sampled_from([None, 1, 3, 5, 7, 11]),
    st.sampled_from(tiny.CONVENTIONS),
    st.booleans(),
    st.sampled_from([tiny.transformer, tiny.image_decoder]),
    st.sampled_from([None, "raster", "raster_full_cache"]),
    st.data(),
)
@settings(max_examples=150, deadline=None)
def test_a_schedule_can_be_carried_out(rows, columns, kernel, convention, wrap, make, order, data):
    model = model_of(rows, columns, kernel, convention, wrap, make)
    n = model.num_tokens
    prefix = data.draw(st.integers(0, n))
    schedule = make_schedule(model, prefix, order)
    mask = model.grid_mask.dense
    held = np.full(schedule.capacity, -1)  # Which position each place of the cache holds.
    held[schedule.kept_slots] = schedule.kept
    assert (schedule.kept < prefix).all()
    drawn = set(range(prefix))
    for positions, slots, visible in zip(
        schedule.positions, schedule.slots, schedule.visible, strict=True
    ):
        busy = positions < n
        assert (slots[~busy] == schedule.capacity).all() and not visible[~busy].any()
        assert len(set(slots[busy])) == busy.sum() > 0
        held[slots[busy]] = positions[busy]
        for position, sees in zip(positions[busy], visible[busy], strict=True):
            assert set(inputs_of(model, int(position))) <= drawn
            assert sorted(held[sees]) == list(np.flatnonzero(mask[position]))
        assert drawn.isdisjoint(positions[busy])
        drawn |= {int(position) for position in positions[busy]}
    assert drawn == set(range(n))


@pytest.mark.parametrize(
    ("rows", "columns", "kernel", "steps", "lanes"),
    [
        (32, 32, 11, 187, 7),
        (32, 32, 7, 125, 11),
        (32, 32, 3, 63, 32),
        (16, 16, 11, 91, 4),
        (8, 8, 3, 15, 8),
        (24, 32, 11, 147, 7),
        (32, 24, 11, 179, 5),
    ],
)
def test_steps_of_the_wavefront(rows, columns, kernel, steps, lanes):
    half = (kernel - 1) // 2
    assert steps == columns + half * (rows - 1)
    schedule = make_schedule(model_of(rows, columns, kernel))
    assert schedule.positions.shape == (steps, lanes)
    assert schedule.capacity < rows * columns


def test_the_place_of_the_class_is_never_given_to_another_token():
    sizes = (32, 32, 11, "row_start", False)
    model, without = model_of(*sizes, tiny.image_decoder), model_of(*sizes)
    schedule, plain = make_schedule(model), make_schedule(without)
    assert schedule.positions.shape == plain.positions.shape
    assert schedule.capacity == plain.capacity + 1
    slot = schedule.slots[0, 0]
    busy = schedule.positions < model.num_tokens
    assert (schedule.slots == slot).sum() == 1 and (schedule.visible[..., slot] == busy).all()


@pytest.mark.parametrize("wrap", [False, True])
def test_the_ring_holds_the_reach_of_the_mask(wrap):
    schedule = make_schedule(model_of(32, 32, 11, "raster", wrap))
    assert schedule.positions.shape == (1024, 1)
    assert schedule.capacity == 5 * 32 + 5 + 1
    assert make_schedule(model_of(32, 32, None, "raster", wrap)).capacity == 1024


def test_a_window_over_the_whole_row_waits_for_the_row_above_only():
    assert make_schedule(model_of(3, 4, 11)).positions.shape[0] == 4 + 3 * 2
    assert make_schedule(model_of(3, 4, 1, "row_start")).positions.shape[0] == 4
    assert make_schedule(model_of(3, 4, 1)).positions.shape[0] == 4 + 2


@pytest.mark.parametrize(
    ("kernel", "convention", "wrap"),
    [(3, "raster", False), (None, "row_start", False), (3, "row_start", True)],
)
def test_raster_order_where_a_wavefront_would_not_be_exact(kernel, convention, wrap):
    model = model_of(4, 5, kernel, convention, wrap)
    assert not allows_wavefront(model)
    assert make_schedule(model).positions.shape == (20, 1)
    with pytest.raises(UserError, match="draw from this model in raster order"):
        make_schedule(model, order="wavefront")


def test_a_prefix_leaves_fewer_steps():
    model = model_of(8, 8, 3)
    assert len(make_schedule(model, 0).positions) == 15
    assert len(make_schedule(model, 32).positions) == 11
    assert make_schedule(model, 64).positions.size == 0
