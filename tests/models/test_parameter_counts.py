"""Every size file counts to its published size; nothing is allocated."""

import math
from typing import get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from babeldraw.models.vit_vqgan import Output
from babeldraw.parallel.rules import INFERENCE_RULES, TRAINING_RULES, is_box
from benchmarks import parameter_counts as counts
from tests.models import tiny


@pytest.mark.parametrize("size", counts.TEXT_TO_IMAGE)
def test_text_to_image_sizes_are_the_published_ones(size):
    without, with_embeddings = counts.TEXT_TO_IMAGE[size]
    ours = counts.count_text_to_image(size)
    assert ours.without_embeddings == pytest.approx(without, rel=0.01)
    assert ours.with_embeddings == pytest.approx(with_embeddings, rel=0.01)


@pytest.mark.parametrize(
    ("size", "layers", "width"), [("vim_base", 24, 1536), ("vim_large", 36, 2048)]
)
def test_vim_sizes(size, layers, width):
    """12 d^2 weights a layer; the published counts have 11 d^2, to 0.1%."""
    ours = counts.count_vim(size)
    classes, positions = 1_000 * width, (32 + 32) * width
    tokens = 2 * 8_192 * width
    norms = layers * 2 * 2 * width + 2 * width
    assert ours.without_embeddings == layers * 12 * width**2 + norms + positions + width
    assert ours.with_embeddings == ours.without_embeddings + tokens + classes
    published = layers * 11 * width**2 + tokens + 1_024 * width
    assert published == pytest.approx(counts.VIM[size], rel=1e-3)


def vision_transformer(layers, width, hidden, input_dim, output_dim, tokens=1024):
    """Weights and biases of one side, added up by hand."""
    attention = 4 * (width * width + width)
    mlp = 2 * width * hidden + hidden + width
    block = attention + mlp + 2 * 2 * width
    ends = input_dim * width + width + tokens * width + 2 * width
    head = width * hidden + hidden + hidden * output_dim + output_dim
    return ends + layers * block + head


SMALL, BASE, LARGE = (8, 512, 2048), (12, 768, 3072), (32, 1280, 5120)
HEADS = {512: 8, 768: 12, 1280: 16}
"""Of each width; no count sees them."""


@pytest.mark.parametrize(
    ("size", "encoder", "decoder", "total"),
    [
        ("small_small", SMALL, SMALL, 55_820_192),
        ("base_base", BASE, BASE, 180_410_016),
        ("small_large", SMALL, LARGE, 667_780_256),
    ],
)
def test_tokenizer_sizes(size, encoder, decoder, total):
    """Golden totals: the published 32M, 91M and 599M a side are names more than counts."""
    ours = counts.count_tokenizer(size)
    patch, code_dim = 8 * 8 * 3, 32
    to_code = encoder[1] * code_dim + code_dim
    assert ours["encoder"] == vision_transformer(*encoder, patch, encoder[1]) + to_code
    assert ours["decoder"] == vision_transformer(*decoder, code_dim, 2 * patch)
    assert ours["codebook"] == 8192 * code_dim
    assert ours["total"] == sum(ours[part] for part in ("encoder", "decoder", "codebook")) == total
    model = counts.tokenizer_model(size)
    assert (model.encoder_heads, model.decoder_heads) == (HEADS[encoder[1]], HEADS[decoder[1]])


def test_a_picture_of_256_pixels_is_1024_tokens():
    model = counts.tokenizer_model("small_small")
    variables = jax.eval_shape(
        model.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 256, 256, 3), jnp.float32)
    )
    pictures = jax.ShapeDtypeStruct((2, 256, 256, 3), jnp.float32)
    tokens = jax.eval_shape(lambda v, x: model.apply(v, x, method="encode"), variables, pictures)
    assert tokens.shape == (2, 1024)
    assert tokens.dtype == jnp.int32
    back = jax.eval_shape(lambda v, t: model.apply(v, t, method="decode"), variables, tokens)
    assert back.shape == (2, 256, 256, 3)


def small_models():
    yield from (tiny.transformer(decoder_inputs=convention) for convention in tiny.CONVENTIONS)
    yield from (tiny.tokenizer(output=output) for output in get_args(Output))


def test_every_axis_of_every_parameter_has_a_name_with_a_rule():
    sizes = [counts.text_to_image_model(size) for size in (*counts.TEXT_TO_IMAGE, "tiny")]
    tokenizers = ("small_small", "base_base", "small_large", "tiny")
    models = [*sizes, *map(counts.tokenizer_model, tokenizers), *small_models()]
    for model in models:
        leaves = jax.tree_util.tree_leaves_with_path(counts.abstract_params(model), is_leaf=is_box)
        for path, leaf in leaves:
            name = jax.tree_util.keystr(path)
            assert isinstance(leaf, nn.LogicallyPartitioned), name
            assert len(leaf.names) == len(leaf.value.shape), name
            assert leaf.value.dtype == jnp.float32, name
            for rules in (TRAINING_RULES, INFERENCE_RULES):
                table = dict(rules)
                mesh_axes = [table[axis] for axis in leaf.names]  # KeyError: an axis without rule
                placed = [axis for axis in mesh_axes if axis]
                assert len(placed) == len(set(placed)), name


def test_large_weights_are_split_over_the_model_axis():
    """What is not split is small: the patent's 20B model must fit its devices."""
    params = counts.abstract_params(counts.text_to_image_model("20b"))
    table = dict(TRAINING_RULES)
    leaves = jax.tree.leaves(params, is_leaf=is_box)
    whole = sum(
        math.prod(leaf.value.shape)
        for leaf in leaves
        if "model" not in {table[axis] for axis in leaf.names}
    )
    assert whole < 0.001 * counts.count(params)
