"""Contract: a kernel with its change is W + B A, layer by layer, and nothing else changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.models import lora
from babeldraw.parallel.execution import Execution
from babeldraw.parallel.rules import logical_axes, unbox
from babeldraw.parallel.schedule import Pipeline
from babeldraw.training.state import variable_name
from tests.models import tiny

RANK = 3


def boxes(execution=Execution()):  # noqa: B008 (frozen)
    model = tiny.transformer(encoder_layers=2, decoder_layers=4, execution=execution)
    inputs = tiny.inputs(model)
    return jax.eval_shape(lambda: model.init(jax.random.key(0), *inputs)["params"])


def by_name(tree, **options):
    leaves = jax.tree_util.tree_leaves_with_path(tree, **options)
    return {variable_name(path): leaf for path, leaf in leaves}


def changes(execution=Execution(), key=0):  # noqa: B008 (frozen)
    """Drawn, with noise in the place of the zeros."""
    tree = unbox(lora.init_changes(boxes(execution), RANK, jax.random.key(key)))
    return jax.tree.map(
        lambda leaf: (
            leaf if np.any(leaf) else leaf + np.linspace(-1, 1, leaf.size).reshape(leaf.shape)
        ),
        tree,
    )


def test_attention_and_feed_forward_have_changes_and_nothing_else_has():
    names = {name.rpartition("/")[0] for name in by_name(changes())}
    attention = {
        f"{kind}_attention/{part}"
        for kind in ("self", "cross")
        for part in ("query", "key", "value", "output")
    }
    feed_forward = {"mlp/wi", "mlp/wo"}
    of_encoder = {part for part in attention | feed_forward if "cross" not in part}
    assert names == {
        *(f"decoder/layers/{part}/kernel" for part in attention | feed_forward),
        *(f"encoder/layers/{part}/kernel" for part in of_encoder),
    }


def test_axes_are_the_kernels_own():
    made = jax.eval_shape(lambda: lora.init_changes(boxes(), RANK, jax.random.key(0)))
    layer = made["decoder"]["layers"]
    assert logical_axes(layer["mlp"]["wi"]["kernel"]["down"]) == ("layers", "embed", "rank")
    assert logical_axes(layer["mlp"]["wi"]["kernel"]["up"]) == ("layers", "rank", "mlp")
    output = layer["self_attention"]["output"]["kernel"]
    assert logical_axes(output["down"]) == ("layers", "heads", "head_dim", "rank")
    assert output["down"].value.shape == (4, 2, 8, RANK)
    query = layer["cross_attention"]["query"]["kernel"]
    assert logical_axes(query["up"]) == ("layers", "rank", "heads", "head_dim")


def test_merged_is_the_formula_of_each_layer():
    params, tree = tiny.random_params(tiny.transformer(decoder_layers=4)), changes()
    merged = by_name(lora.merge(params, tree, 0.5))
    halves, before = by_name(tree), by_name(params)
    changed = {name.rpartition("/")[0] for name in halves}
    for name, array in before.items():
        if name not in changed:
            np.testing.assert_array_equal(merged[name], array)
            continue
        down, up = halves[f"{name}/down"], halves[f"{name}/up"]
        for layer, kernel in enumerate(np.asarray(array)):
            a, b = np.asarray(down[layer]), np.asarray(up[layer])
            added = (a.reshape(-1, RANK) @ b.reshape(RANK, -1)).reshape(kernel.shape)
            np.testing.assert_allclose(
                merged[name][layer], kernel + 0.5 * added, rtol=1e-5, atol=1e-6
            )


def test_fresh_changes_change_nothing_and_are_scaled_as_kernels_are():
    params = tiny.random_params(tiny.transformer(decoder_layers=4))
    fresh = unbox(lora.init_changes(boxes(), RANK, jax.random.key(0)))
    jax.tree.map(np.testing.assert_array_equal, lora.merge(params, fresh), params)
    downs = [
        leaf * np.sqrt(np.prod(leaf.shape[1:-1]))
        for name, leaf in by_name(fresh).items()
        if name.endswith("down")
    ]
    spread = np.concatenate([np.ravel(down) for down in downs])
    assert np.mean(np.square(spread)) == pytest.approx(1, abs=0.1)


def test_a_pipelined_stack_has_the_same_changes_in_its_own_shape():
    pipelined = Execution(pipeline=Pipeline(2, 2))
    ours, theirs = by_name(changes()), by_name(changes(pipelined))
    shape = theirs["decoder/layers/mlp/wi/kernel/down"].shape
    assert shape == (2, 2, 16, RANK)
    for name, array in ours.items():
        np.testing.assert_array_equal(jnp.reshape(theirs[name], array.shape), array)
