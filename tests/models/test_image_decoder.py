"""Contract: one decoder predicts image tokens of a text, of a class, or of nothing."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.models import splash_attention
from babeldraw.models.image_decoder import NO_CLASS
from babeldraw.parallel.execution import Execution
from tests.models import tiny

EVERY_CLASS = jnp.arange(NO_CLASS, tiny.CLASSES)  # and none, first


def apply(model, params, *inputs, **settings):
    return compiled(model, **settings)({"params": params}, *inputs)


@functools.cache
def compiled(model, **settings):
    return tiny.jit(functools.partial(model.apply, **settings))


def same_picture(model):
    return jnp.tile(tiny.pictures_tokens(1, model), (len(EVERY_CLASS), 1))


@pytest.mark.parametrize("convention", tiny.CONVENTIONS)
def test_the_class_is_read_at_the_first_position_in_place_of_the_start(convention):
    model = tiny.image_decoder(decoder_inputs=convention)
    params, tokens = tiny.random_params(model), same_picture(model)
    positions = jnp.arange(model.num_tokens)
    read = apply(model, params, tokens, positions, EVERY_CLASS, method="decoder_input")
    place = params["image_positions"]["row"]["table"][0]
    place = place + params["image_positions"]["column"]["table"][0]
    start, classes = params["start_embedding"]["table"], params["class_embedding"]["table"]
    first = jnp.concatenate([start[:1], classes]) + place
    np.testing.assert_allclose(read[:, 0], first, atol=1e-6)
    np.testing.assert_array_equal(read[1:, 1:], jnp.broadcast_to(read[0, 1:], read[1:, 1:].shape))


def test_no_class_is_the_model_without_classes_exactly():
    """So that a run whose classes are always dropped trains what an unconditional one trains."""
    model, without = tiny.image_decoder(), tiny.image_decoder(num_classes=0)
    params, tokens = tiny.random_params(model), tiny.pictures_tokens(2, model)
    rest = {name: tree for name, tree in params.items() if name != "class_embedding"}
    none = jnp.full(2, NO_CLASS)
    found = apply(model, params, tokens, none)
    np.testing.assert_array_equal(found, apply(without, rest, tokens))
    shapes = jax.tree.map(jnp.shape, (rest, tiny.random_params(without)))
    assert shapes[0] == shapes[1]
    other = apply(model, params, tokens, jnp.asarray([0, NO_CLASS]))
    assert (other[0] != found[0]).any() and (other[1] == found[1]).all()


@pytest.mark.parametrize("path", ["dense", "blocks", "splash"])
def test_under_a_window_the_class_is_seen_from_everywhere(path, monkeypatch):
    monkeypatch.setattr(splash_attention, "_INTERPRET", True)
    # One layer: nothing comes by another position.
    model = tiny.image_decoder(attention_kernel=3, decoder_layers=1)
    params, tokens = tiny.random_params(model), same_picture(model)
    expected = apply(model, params, tokens, EVERY_CLASS)
    run = model.clone(execution=Execution(attention=path))
    found = apply(run, params, tokens, EVERY_CLASS)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    for one, other in ((0, 1), (1, 2)):
        assert (np.abs(found[one] - found[other]).max(-1) > 1e-3).all()


@pytest.mark.parametrize("kernel", [None, 3])
def test_a_token_changes_what_it_can_reach_and_nothing_else(kernel):
    model = tiny.image_decoder(attention_kernel=kernel)
    params, n = tiny.random_params(model), model.num_tokens
    tokens = jnp.tile(tiny.pictures_tokens(1, model), (n + 1, 1))
    tokens = tokens.at[1 + np.arange(n), np.arange(n)].add(1) % model.codebook_size
    logits = np.asarray(apply(model, params, tokens, jnp.zeros(n + 1, int)))
    changed = np.abs(logits[1:] - logits[0]).max(-1) > 2e-6 * np.abs(logits).max()
    reads = np.eye(n, k=-1, dtype=int)  # each position the token before it
    reach = np.linalg.matrix_power(model.grid_mask.dense.astype(int), 2) @ reads > 0
    np.testing.assert_array_equal(changed, reach.T)
    assert not np.triu(changed.T).any()


def test_a_last_layer_norm_stands_before_the_softmax():
    model = tiny.image_decoder()
    params, tokens = tiny.random_params(model), tiny.pictures_tokens(2, model)
    logits = apply(model, params, tokens)
    for name in ("scale", "bias"):
        norm = params["decoder_norm"] | {name: params["decoder_norm"][name] + 0.3}
        moved = apply(model, params | {"decoder_norm": norm}, tokens)
        assert (np.abs(moved - logits).max(-1) > 1e-3).all()
    x = jax.random.normal(jax.random.key(0), (2, 3, model.d_model))
    found = apply(model, params, 3 * x + 1, method="decoder_logits")
    np.testing.assert_allclose(
        found, apply(model, params, x, method="decoder_logits"), rtol=1e-5, atol=1e-4
    )


@pytest.mark.parametrize("make", [tiny.image_decoder, tiny.transformer])
def test_normed_queries_and_keys_bound_the_scores(make):
    plain, model = make(), make(qk_norm=True)
    tokens = tiny.pictures_tokens(2, model)
    inputs = (tokens, tiny.classes(2)) if make is tiny.image_decoder else (tiny.prompts(2), tokens)

    def names(model):
        leaves = jax.tree_util.tree_leaves_with_path(tiny.random_params(model))
        return {jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves}

    attentions = 1 if make is tiny.image_decoder else 3
    added = names(model) - names(plain)
    assert not names(plain) - names(model) and len(added) == 2 * attentions
    assert {name.split("/")[-2:][0] for name in added} == {"query_norm", "key_norm"}

    def with_queries_and_keys(params, factor):
        def grow(path, leaf):
            return leaf * (factor if path[-2].key in ("query", "key") else 1)

        return jax.tree_util.tree_map_with_path(grow, params)

    for network, changes in ((model, False), (plain, True)):
        params = tiny.random_params(network)
        logits = apply(network, params, *inputs)
        grown = apply(network, with_queries_and_keys(params, 30.0), *inputs)
        assert (np.abs(grown - logits).max() > 1e-2) == changes


def test_classes_for_a_model_without_are_refused():
    model = tiny.image_decoder(num_classes=0)
    with pytest.raises(UserError, match="made without classes"):
        apply(model, tiny.random_params(model), tiny.pictures_tokens(2, model), tiny.classes(2))


LAYER = {
    "mlp/wi/kernel": (2, 16, 24),
    "mlp/wo/kernel": (2, 24, 16),
    "mlp_norm/bias": (2, 16),
    "mlp_norm/scale": (2, 16),
    "self_attention/key/kernel": (2, 16, 2, 8),
    "self_attention/output/kernel": (2, 2, 8, 16),
    "self_attention/query/kernel": (2, 16, 2, 8),
    "self_attention/value/kernel": (2, 16, 2, 8),
    "self_attention_norm/bias": (2, 16),
    "self_attention_norm/scale": (2, 16),
}
RECORDED = {
    "above_embedding/table": (13, 16),
    **{f"encoder/layers/{name}": shape for name, shape in LAYER.items()},
    **{f"decoder/layers/{name}": shape for name, shape in LAYER.items()},
    **{
        f"decoder/layers/{name.replace('self', 'cross')}": shape
        for name, shape in LAYER.items()
        if name.startswith("self")
    },
    "decoder_norm/bias": (16,),
    "decoder_norm/scale": (16,),
    "encoder_norm/bias": (16,),
    "encoder_norm/scale": (16,),
    "image_embedding/table": (13, 16),
    "image_positions/column/table": (5, 16),
    "image_positions/row/table": (4, 16),
    "logits/kernel": (16, 13),
    "start_embedding/table": (4, 16),
    "text_embedding/table": (20, 16),
    "text_positions/table": (6, 16),
}
"""Parameters of a text-to-image model before it stood on `ImageDecoder`."""


def test_text_to_image_models_of_before_load_and_say_the_same():
    model = tiny.transformer(decoder_inputs="row_start_above", attention_kernel=5)
    rng, tree = np.random.default_rng(0), {}
    for name, shape in sorted(RECORDED.items(), key=lambda item: item[0].split("/")):
        noise = rng.normal(size=shape).astype(np.float32)
        *parents, last = name.split("/")
        inner = functools.reduce(lambda inner, key: inner.setdefault(key, {}), parents, tree)
        inner[last] = jnp.asarray(1 + 0.1 * noise if last == "scale" else 0.4 * noise)
    logits = apply(model, tree, tiny.prompts(2), tiny.pictures_tokens(2, model))
    # Recorded on two CPU cores, November 2026.
    first, last = [1.208932, -2.178893, -2.110290], [1.785465, -3.893089, -0.158504]
    np.testing.assert_allclose(logits[0, 0, :3], first, rtol=1e-4)
    np.testing.assert_allclose(logits[1, 19, :3], last, rtol=1e-4)
    shapes = jax.tree.map(jnp.shape, (tree, tiny.random_params(model)))
    assert shapes[0] == shapes[1]
