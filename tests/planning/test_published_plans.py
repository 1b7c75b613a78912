"""The bars of the published sizes, on the real compiler.

`python -m benchmarks.plans` makes the README's table from the same plans. Here the compiler
optimises least: minutes in place of a quarter of an hour each, with the same collectives and about
the same memory.
"""

import re

import pytest

from benchmarks import plans

pytestmark = pytest.mark.published

PIPELINES = re.compile(r"jit\(step\)/(transpose\()?jvp\(EncoderDecoder\)\)?/(.*encoder|decoder)$")


@pytest.fixture(scope="module")
def three_billion():
    return plans.run_plan("3b@v4_512_in_layer", quick=True)


@pytest.fixture(scope="module")
def twenty_billion():
    return plans.run_plan("20b@v4_1024", quick=True)


def in_layers(plan):
    return [row for row in plan["collectives"] if PIPELINES.match(row["loop"])]


def gradients(plan):
    """Sums over `data` that are larger than a layer norm's."""
    return [
        row
        for row in plan["collectives"]
        if row["kind"] in ("all-reduce", "reduce-scatter")
        and "data" in (row["axes"] or ())
        and row["bytes"] > 2**20
    ]


def test_3b_fits(three_billion):
    assert three_billion["batch_size"] == 8192
    assert three_billion["chips"] == 512
    assert three_billion["fits"]
    assert three_billion["peak_hbm_gib"] <= 20
    assert three_billion["params"] == 3_087_165_440


def test_3b_sums_no_layer_output_by_all_reduce(three_billion):
    rows = in_layers(three_billion)
    assert any(row["kind"] == "reduce-scatter" for row in rows)
    outputs = [row for row in rows if row["kind"] == "all-reduce" and row["axes"] == ["model"]]
    # Layer norms sum two numbers a token; an output has 2048.
    assert sum(row["total_bytes"] for row in outputs if len(row["shape"]) > 2) == 0


def test_3b_sums_gradients_in_float32(three_billion):
    assert {row["dtype"] for row in gradients(three_billion)} == {"f32"}


def test_20b_fits(twenty_billion):
    assert twenty_billion["batch_size"] == 8192
    assert twenty_billion["chips"] == 1024
    assert twenty_billion["fits"]
    assert twenty_billion["peak_hbm_gib"] <= 22
    assert twenty_billion["bubble_fraction"] == pytest.approx(15 / (64 * 4 + 15))


def test_20b_sends_nothing_but_shifts_inside_its_pipelines(twenty_billion):
    rows = in_layers(twenty_billion)
    assert {(row["kind"], tuple(row["axes"])) for row in rows} == {
        ("collective-permute", ("stage",))
    }
    # Both stacks, forward and backward.
    assert len({row["loop"] for row in rows}) == 4


def test_20b_sums_gradients_once_and_in_float32(twenty_billion):
    rows = gradients(twenty_billion)
    assert rows
    assert {(row["dtype"], row["in_loop"]) for row in rows} == {("f32", False)}
