"""The closed forms agree with what XLA counts of the same networks, written out and dense."""

import dataclasses

import jax
import pytest

from babeldraw.parallel.execution import Execution
from babeldraw.parallel.pipeline import Pipeline
from babeldraw.parallel.rules import unbox
from babeldraw.planning.flops import count_flops
from tests.models import tiny
from tests.objectives import tiny_runs

# Wide enough that matrix products outweigh all else, which XLA counts too.
WIDE = {
    "d_model": 256, "num_heads": 4, "head_dim": 64, "mlp_dim": 1024, "text_length": 32,
    "codebook_size": 512, "dropout_rate": 0.0,
}  # fmt: skip
TOKENIZER = tiny.tokenizer(
    **{f"{side}_{name}": size for side in ("encoder", "decoder")
       for name, size in (("width", 256), ("mlp_dim", 1024), ("layers", 2))},
    codebook_size=512,
)  # fmt: skip
BATCH = 2


def text_to_image(**settings):

    return dataclasses.replace(
        tiny_runs.text_to_image(**(WIDE | settings)),
        tokenizer=TOKENIZER,
        execution=Execution(unroll=True),
    )


def counted_by_xla(objective):
    """Of the loss and its gradient, before XLA optimises anything away."""
    (player,) = objective.players()
    params = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype),
        jax.eval_shape(lambda: unbox(objective.init(jax.random.key(0)))),
    )

    def loss(own, constants, batch):
        return player.loss(own, params, constants, batch, jax.random.key(0))[0]

    lowered = jax.jit(jax.grad(loss)).lower(
        params[player.name], objective.abstract_constants(), objective.batch_shapes(BATCH)
    )
    return lowered.cost_analysis()["flops"]


def test_text_to_image_with_dense_attention():
    objective = text_to_image()
    executed = count_flops(objective).executed(BATCH, Execution())
    assert executed == pytest.approx(counted_by_xla(objective), rel=0.03)


def test_tokenizer():

    objective = dataclasses.replace(
        tiny_runs.tokenizer(), model=TOKENIZER, execution=Execution(unroll=True)
    )
    assert count_flops(objective).model(BATCH) == pytest.approx(counted_by_xla(objective), rel=0.03)


def test_model_flops_count_the_pairs_that_the_mask_allows():
    narrow, dense = count_flops(text_to_image()), count_flops(text_to_image(attention_kernel=None))
    n = 16
    causal = n * (n + 1) // 2
    pair = 2 * 2 * 4 * 64 * 2  # two layers
    cross = n * 32
    assert dense.stacks["decoder"].attention == (causal + cross) * pair
    assert narrow.stacks["decoder"].attention < dense.stacks["decoder"].attention
    assert narrow.model(BATCH) < dense.model(BATCH)
    assert narrow.executed(BATCH, Execution()) == dense.executed(BATCH, Execution())


def test_rematerialisation_adds_a_forward_pass_of_the_stacks():
    flops = count_flops(text_to_image())
    plain = flops.executed(1, Execution())
    stacks = flops.stacks.values()
    full = flops.executed(1, Execution(remat="full"))
    assert full - plain == sum(s.products + s.dense_attention for s in stacks)
    dots = flops.executed(1, Execution(remat="dots"))
    assert dots - plain == sum(s.dense_attention for s in stacks)
    assert flops.model(1) == pytest.approx(flops.model(7) / 7)


def test_bubbles_are_executed_and_not_counted():
    flops = count_flops(text_to_image())
    pipelined = flops.executed(1, Execution(pipeline=Pipeline(2, 2, 1)))
    outside = 3 * flops.rest + flops.frozen
    plain = flops.executed(1, Execution())
    # Two stages, two microbatches, one round: one of three iterations is empty.
    assert pipelined - outside == pytest.approx((plain - outside) * 3 / 2)


def test_a_published_size():
    """6 operations a parameter and token, of decoder tokens: 3.5e9 x 6 x 1024 within attention."""
    from benchmarks.parameter_counts import text_to_image_model, tokenizer_model

    objective = dataclasses.replace(
        tiny_runs.text_to_image(),
        model=text_to_image_model("3b"),
        tokenizer=tokenizer_model("small_small"),
    )
    flops = count_flops(objective)
    decoder = flops.stacks["decoder"]
    weights = 36 * (8 * 2048**2 + 2 * 2048 * 8192)
    reads_text = 36 * 2 * 2048**2  # keys and values of cross-attention: 128 tokens, not 1024
    assert decoder.products == 2 * ((weights - reads_text) * 1024 + reads_text * 128)


def test_an_objective_without_a_closed_form_has_none():
    assert count_flops(object()) is None
