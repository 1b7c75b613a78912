"""The closed forms agree with what XLA counts of the same networks, written out and dense."""

import dataclasses
from typing import get_args

import jax
import pytest

from babeldraw.models.flops import tokenizer_flops
from babeldraw.models.text_pretraining import TextPretraining
from babeldraw.models.vit_vqgan import Output
from babeldraw.objectives.decoder_finetune import DecoderFinetune
from babeldraw.objectives.text_encoder import TextEncoding
from babeldraw.parallel.execution import Execution
from babeldraw.parallel.rules import unbox
from babeldraw.parallel.schedule import Pipeline
from tests.models import tiny
from tests.objectives import tiny_runs
from tests.training.toy import Toy

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
WRITTEN_OUT = Execution(unroll=True)


def text_to_image(remat="none", **settings):
    return dataclasses.replace(
        tiny_runs.text_to_image(**(WIDE | settings)),
        tokenizer=TOKENIZER,
        execution=Execution(unroll=True, remat=remat),
    )


def image_tokens():
    sizes = {name: size for name, size in WIDE.items() if not name.startswith("text")}
    objective = tiny_runs.image_tokens(**sizes)
    return dataclasses.replace(objective, tokenizer=TOKENIZER, execution=WRITTEN_OUT)


def counted_by_xla(objective, compiled=False):
    """Of the loss and its gradient, before or after XLA drops what nothing reads."""
    (player,) = objective.players()
    params = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype),
        jax.eval_shape(lambda: unbox(objective.init(jax.random.key(0)))),
    )

    def loss(own, constants, batch):
        return player.loss(own, params, constants, batch, jax.random.key(0), 0)[0]

    lowered = jax.jit(jax.grad(loss)).lower(
        params[player.name], objective.abstract_constants(), objective.batch_shapes(BATCH)
    )
    options = {"xla_backend_optimization_level": 0}  # for the test's time
    return (lowered.compile(options) if compiled else lowered).cost_analysis()["flops"]


@pytest.mark.parametrize("make", [text_to_image, image_tokens])
def test_stage_2_with_dense_attention(make):
    objective = make()
    executed = objective.flops().executed(BATCH, Execution())
    assert executed == pytest.approx(counted_by_xla(objective), rel=0.03)


def test_masked_texts():
    model = TextPretraining(
        text_vocab_size=512, encoder_layers=2, dtype="float32",
        **{name: size for name, size in WIDE.items() if name != "codebook_size"},
    )  # fmt: skip
    objective = TextEncoding(model=model, optimizer=tiny_runs.ADAM, execution=WRITTEN_OUT)
    assert objective.flops().model(BATCH) == pytest.approx(counted_by_xla(objective), rel=0.03)


@pytest.mark.parametrize("output", get_args(Output))
def test_tokenizer(output):
    objective = dataclasses.replace(
        tiny_runs.tokenizer(), model=TOKENIZER.clone(output=output), execution=WRITTEN_OUT
    )
    assert objective.flops().model(BATCH) == pytest.approx(counted_by_xla(objective), rel=0.03)


def test_a_finetuned_decoder_has_a_frozen_encoder():
    objective = DecoderFinetune(
        model=TOKENIZER, optimizer=tiny_runs.ADAM, source=dict, execution=WRITTEN_OUT
    )
    flops = objective.flops()
    assert flops.model(BATCH) == pytest.approx(counted_by_xla(objective), rel=0.03)
    assert flops.model(BATCH) < 0.8 * tokenizer_flops(TOKENIZER).model(BATCH)


def test_model_flops_count_the_pairs_that_the_mask_allows():
    narrow, dense = text_to_image().flops(), text_to_image(attention_kernel=None).flops()
    n = tiny.ROWS * tiny.COLUMNS
    causal = n * (n + 1) // 2
    pair = 2 * 2 * 4 * 64 * 2  # two layers
    cross = n * 32
    assert dense.stacks["decoder"].attention == (causal + cross) * pair
    assert narrow.stacks["decoder"].attention < dense.stacks["decoder"].attention
    assert narrow.model(BATCH) < dense.model(BATCH)
    assert narrow.executed(BATCH, Execution()) == dense.executed(BATCH, Execution())


def test_rematerialisation_adds_what_it_recomputes():
    flops = text_to_image().flops()
    plain = flops.executed(1, Execution())
    extra = {
        remat: flops.executed(1, Execution(remat=remat)) - plain
        for remat in ("dots", "attention", "full")
    }
    assert extra["dots"] == sum(s.dense_attention for s in flops.stacks.values())
    # All of a layer but its last product, 2 x 256 x 1024 a token.
    tokens = 2 * 32 + 2 * 20
    forward = sum(s.products + s.dense_attention for s in flops.stacks.values())
    assert extra["full"] == forward - tokens * 2 * 256 * 1024
    # Output projections of self-attention, one a token.
    assert extra["full"] - extra["attention"] == (2 * 32 + 2 * 20) * 2 * 256 * 256
    assert flops.model(1) == pytest.approx(flops.model(7) / 7)


@pytest.mark.parametrize("remat", ["dots", "attention", "full"])
def test_xla_executes_what_is_said_to_be_recomputed(remat):
    objective = text_to_image(remat=remat)
    executed = objective.flops().executed(BATCH, objective.execution)
    # Compiled: the layer's output, which nothing reads, is dropped by the compiler alone.
    assert executed == pytest.approx(counted_by_xla(objective, compiled=True), rel=0.04)


def test_bubbles_are_executed_and_not_counted():
    flops = text_to_image().flops()
    pipelined = flops.executed(1, Execution(pipeline=Pipeline(2, 2, 1)))
    outside = 3 * flops.rest + flops.frozen
    plain = flops.executed(1, Execution())
    # Two stages, two microbatches, one round: one of three iterations is empty.
    assert pipelined - outside == pytest.approx((plain - outside) * 3 / 2)


def test_a_published_size():
    """2 operations a weight and token: the text's for keys and values of cross-attention."""
    from benchmarks.parameter_counts import text_to_image_model, tokenizer_model

    objective = dataclasses.replace(
        tiny_runs.text_to_image(),
        model=text_to_image_model("3b"),
        tokenizer=tokenizer_model("small_small"),
    )
    flops = objective.flops()
    decoder = flops.stacks["decoder"]
    weights = 36 * (8 * 2048**2 + 2 * 2048 * 8192)
    reads_text = 36 * 2 * 2048**2  # keys and values of cross-attention: 128 tokens, not 1024
    assert decoder.products == 2 * ((weights - reads_text) * 1024 + reads_text * 128)


def test_an_objective_without_a_closed_form_has_none():
    assert Toy().flops() is None


def test_the_tokenizer_has_no_bubbles():
    """It is data parallel over the stages (see `Tokenizer.network`)."""
    flops = tiny_runs.tokenizer().flops()
    pipelined = Execution(pipeline=Pipeline(2, 2, 1))
    assert flops.executed(1, pipelined) == flops.executed(1, Execution())
