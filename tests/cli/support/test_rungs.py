"""Contract: the rungs are chosen as the page says, build, have the stated sizes, and trace."""

from pathlib import Path

import gin
import jax
import pytest

from babeldraw.cli.support.gin_config import parse_gin
from babeldraw.cli.support.machines import load_machine_file
from babeldraw.cli.support.rungs import (
    RUNGS,
    STAGES,
    choose_batch,
    choose_codes,
    choose_rung,
    choose_size,
    share_time,
)
from babeldraw.errors import UserError
from babeldraw.parallel.rules import unbox
from babeldraw.training.machine import Machine
from babeldraw.training.state import init_state
from babeldraw.training.step import make_train_step
from benchmarks.rungs import recipes

MILLIONS = {
    "cpu": (0.61, 2.50),
    "evening": (1.86, 6.06),
    "gpu_hour": (9.30, 22.64),
    "gpu_day": (57.69, 111.48),
}
"""Parameters of the networks of both stages, embeddings included."""

TOKENS = {"cpu": 256, "evening": 256, "gpu_hour": 256, "gpu_day": 256}


def objective(files):
    parse_gin(files, [], unneeded=("MODEL_DIR", "TOKENIZER_CHECKPOINT"))
    return gin.query_parameter("loop.train.objective").scoped_configurable_fn()


def trace(built, batch_size):
    """The train step's shapes: an error where networks, losses and batches do not fit."""
    machine = Machine.from_config(load_machine_file("configs/gpu_24gb.py"))
    built = built.with_execution(machine.execution)
    state = jax.eval_shape(lambda: init_state(built, 0))
    step = make_train_step(built)
    return jax.eval_shape(
        step, unbox(state), built.abstract_constants(), built.batch_shapes(batch_size)
    )


@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: rung.name)
@pytest.mark.parametrize("stage", STAGES)
def test_every_rung_builds_has_the_stated_size_and_traces(rung, stage):
    built = objective([rung.recipe(stage)])
    size = gin.query_parameter("%IMAGE_SIZE")
    assert (size, gin.query_parameter("%PATCH_SIZE")) == (rung.size, rung.patches[rung.size])
    assert gin.query_parameter("%TASK_FEATURE_LENGTHS")["image"] == size
    assert built.model.num_tokens == TOKENS[rung.name]
    count = sum(leaf.size for leaf in jax.tree.leaves(built.abstract_params[stage]))
    stated = MILLIONS[rung.name][STAGES.index(stage)]
    assert count / 1e6 == pytest.approx(stated, abs=0.005)
    assert built.ema_decay > 0
    assert gin.query_parameter("%WARMUP_STEPS") < gin.query_parameter("%TRAIN_STEPS") / 5
    _, metrics = trace(built, 2)
    assert {name.split("/")[-1] for name in metrics} >= {"loss", "grad_norm"}


@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: rung.name)
def test_the_stages_of_a_rung_have_one_tokenizer(rung):
    first, second = (objective([rung.recipe(stage)]) for stage in STAGES)
    assert first.model == second.tokenizer
    assert first.revive_every > 0  # without it most codes of a small set stay unused


def test_a_day_has_32_by_32_tokens_too():
    for stage in STAGES:
        built = objective([f"gin/rungs/gpu_day_{stage}.gin", "gin/rungs/32x32.gin"])
        assert built.model.num_tokens == 1024


def test_the_page_has_the_recipes_as_they_are():
    """`python -m benchmarks.rungs` writes it again."""
    assert recipes() in Path("docs/rungs.md").read_text()


def test_every_file_is_a_rungs():
    named = {rung.recipe(stage) for rung in RUNGS for stage in STAGES}
    others = ("tokenizer", "text_to_image", "32x32", "cpu_image_tokens")
    shared = {f"gin/rungs/{name}.gin" for name in others}
    assert {str(path) for path in Path("gin/rungs").glob("*.gin")} == named | shared


@pytest.mark.parametrize(
    ("accelerated", "minutes", "name"),
    [
        (False, 2, "cpu"),
        (False, 30, "cpu"),
        (False, 120, "evening"),
        (True, 30, "gpu_hour"),
        (True, 24 * 60, "gpu_day"),
    ],
)
def test_the_machine_and_the_minutes_choose(accelerated, minutes, name):
    assert choose_rung(accelerated, minutes).name == name


def test_pictures_are_not_enlarged_where_that_can_be():
    cpu, day = RUNGS[0], RUNGS[-1]
    sizes = [choose_size(cpu, side, 100, 30, None)[0] for side in (20, 40, 48, 64, 500)]
    assert sizes == [32, 32, 48, 64, 64]
    assert [choose_size(day, side, 10**6, 600, None)[0] for side in (100, 200, 500)] == [
        128,
        128,
        256,
    ]
    assert choose_size(cpu, 20, 100, 30, 128) == (128, "as asked")
    with pytest.raises(UserError, match=r"--size is 40.*32, 48, 64, 128"):
        choose_size(cpu, 500, 100, 30, 40)


def test_more_pictures_than_the_minutes_are_enough_for_are_smaller():
    cpu = RUNGS[0]
    chosen = [choose_size(cpu, 113, pictures, 30, None) for pictures in (200, 400, 850, 8000)]
    assert [size for size, _ in chosen] == [64, 48, 32, 32]
    assert "64 px would have" in chosen[1][1]
    assert "give more --minutes" in chosen[3][1]
    assert choose_size(cpu, 113, 850, 60, None)[0] == 48


def test_a_small_set_has_fewer_codes_and_smaller_batches():
    assert choose_codes(1024, pictures=993, tokens=256) == 1024
    assert choose_codes(1024, pictures=20, tokens=64) == 64  # never fewer
    assert choose_codes(2048, pictures=100, tokens=256) == 1024
    assert choose_batch(16, train=300, held_out=32) == 16
    assert choose_batch(16, train=50, held_out=10) == 8
    assert choose_batch(16, train=50, held_out=1) == 1


@pytest.mark.parametrize(
    ("left", "wanted", "shared"),
    [
        ([180, 630], 100, (180, [630])),  # its share is enough
        ([180, 630], 400, (400, [410])),
        ([180, 630], 9999, (405, [405])),  # never more than half
        ([630], 9999, (630, [])),  # the last stage
    ],
)
def test_the_tokenizer_takes_time_of_the_second_stage_where_it_would_have_too_few_steps(
    left, wanted, shared
):
    assert share_time(left, wanted) == shared
