"""The contract: an update is the same under every mesh, and only small arrays travel.

Arrays of the state are sharded as their parameters, along the axes that they keep. Moments agree
within one quantisation step; with whole parameters on every device, bit for bit. (Other layouts
give the compiler other shapes: it may vectorise sums in another order even within a layer.)
"""

import functools
import re

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from babeldraw.optimizers.adafactor import adafactor
from babeldraw.parallel.mesh import make_mesh

SHAPES = {
    # name: (shape without layers, logical axes)
    "wi": ((32, 64), ("embed", "mlp")),
    "output": ((4, 16, 32), ("heads", None, "embed")),
    "bias": ((64,), ("mlp",)),
}
LAYOUTS = {
    "data": ({"data": 8}, {}),
    "in-layer": ({"data": 2, "model": 4}, {"mlp": "model", "heads": "model"}),
    "fsdp": ({"data": 8}, {"embed": "data"}),
    "stages": ({"data": 2, "stage": 4}, {"stage": "stage"}),
    "all": (
        {"data": 2, "stage": 2, "model": 2},
        {"stage": "stage", "embed": "data", "mlp": "model", "heads": "model"},
    ),
}
ROUNDS, STAGES = 2, 4
AXES = {name: (None, "stage", *axes) for name, (_, axes) in SHAPES.items()}


def arrays(seed):
    keys = jax.random.split(jax.random.key(seed), len(SHAPES))
    return {
        name: jax.random.normal(key, (ROUNDS, STAGES, *shape))
        for key, (name, (shape, _)) in zip(keys, SHAPES.items(), strict=True)
    }


def optimizer():
    return adafactor(0.01, layer_axes=2, clip_norm=1e3)


def shardings(layout, tree, params):
    """The placement of each array: its parameter's along axes of the same length."""
    sizes, rules = LAYOUTS[layout]
    mesh = make_mesh(sizes)

    def place(path, leaf):
        name = path[-1].key if hasattr(path[-1], "key") else None
        if name is None:
            return NamedSharding(mesh, PartitionSpec())
        axes = [
            rules.get(axis) if length == whole else None
            for axis, length, whole in zip(AXES[name], leaf.shape, params[name].shape, strict=True)
        ]
        return NamedSharding(mesh, PartitionSpec(*axes))

    return jax.tree_util.tree_map_with_path(place, tree)


def step(gradients, state, params):
    updates, state = optimizer().update(gradients, state, params)
    return optax.apply_updates(params, updates), state


def compiled(layout):
    """The step, compiled for a layout, and the shardings of parameters and state."""
    params = arrays(0)
    state = optimizer().init(params)
    if layout is None:
        return jax.jit(step).lower(params, state, params).compile(), None
    places = [shardings(layout, tree, params) for tree in (params, state)]
    jitted = jax.jit(
        step,
        in_shardings=(places[0], places[1], places[0]),
        out_shardings=tuple(places),
    )
    return jitted.lower(params, state, params).compile(), places


def run(layout, steps=2):
    """Parameters and state after some steps, and the compiled step."""
    update, places = compiled(layout)
    params = arrays(0)
    state = optimizer().init(params)
    gradients = [arrays(seed) for seed in range(1, steps + 1)]
    if places is not None:
        params, state = jax.device_put((params, state), tuple(places))
        gradients = [jax.device_put(g, places[0]) for g in gradients]
    for g in gradients:
        params, state = update(g, state, params)
    return params, state, update


@pytest.fixture(scope="module")
def runs():
    """`run`, once for each layout; None is one device."""
    return functools.cache(run)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_update_is_the_same_under_every_mesh(layout, runs):
    alone = jax.device_get(runs(None)[:2])
    params, state, update = runs(layout)
    found = jax.device_get((params, state))
    if layout == "data":
        for name in SHAPES:
            np.testing.assert_array_equal(state.moment[name], alone[1].moment[name])
    for a, b in zip(jax.tree.leaves(found[1]), jax.tree.leaves(alone[1]), strict=True):
        if a.dtype == np.int8:
            assert np.abs(np.int32(a) - np.int32(b)).max() <= 1
        else:
            np.testing.assert_allclose(a, b, rtol=1e-5)
    for name in SHAPES:  # A quantisation step is below 1e-4 here.
        np.testing.assert_allclose(found[0][name], alone[0][name], atol=1e-4)
    check_what_travels(update.as_text(), state)


def check_what_travels(text, state):
    """Sums of scalars, and of rows, columns and scales; no weight, gradient or moment."""
    kinds = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter"
    lines = re.findall(rf"= (.*?) ({kinds})(?:-start)?\(", text)
    small = [
        leaf.addressable_shards[0].data.size
        for tree in (state.scale, state.row, state.column)
        for leaf in jax.tree.leaves(tree)
    ]
    for result, kind in lines:
        assert kind == "all-reduce", (kind, result)
        for dimensions in re.findall(r"\[([\d,]*)\]", result):
            size = np.prod([int(n) for n in dimensions.split(",") if n])
            assert size <= max(small), result
    return len(lines)


def test_what_travels_is_seen(runs):
    """The check above is no check if it finds nothing: the sums of in-layer sharding are there."""
    _, state, update = runs("in-layer")
    assert check_what_travels(update.as_text(), state) > 2
    with pytest.raises(AssertionError):
        check_what_travels("x = f32[2,64]{1,0} all-gather(y), dimensions={0}", state)
    with pytest.raises(AssertionError):
        check_what_travels("x = f32[2,1024,64]{2,1,0} all-reduce(y)", state)


def test_the_state_takes_its_share_of_each_device(runs):
    _, state, _ = runs("all")
    for name, shards in (("wi", 8), ("output", 8), ("bias", 4)):
        assert state.moment[name].addressable_shards[0].data.size * shards == (
            state.moment[name].size
        )
    assert state.row["wi"].sharding.spec == PartitionSpec(None, "stage", "data", None)
    assert state.column["wi"].sharding.spec == PartitionSpec(None, "stage", None, "model")


def test_a_state_is_saved_and_restored_onto_another_mesh(runs, tmp_path):
    target = "all"
    _, state, _ = runs("fsdp")
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        params = arrays(0)
        abstract = jax.tree.map(
            lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
            state,
            shardings(target, state, params),
        )
        restored = checkpointer.restore(tmp_path / "state", abstract)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    for a, b, place in zip(*map(jax.tree.leaves, (restored, state, abstract)), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype
        assert a.sharding.is_equivalent_to(place.sharding, a.ndim)
    assert restored.square["wi"] is None
    # It goes on from there.
    places = shardings(target, params, params)
    update = runs(target)[2]
    params, g = (jax.device_put(arrays(seed), places) for seed in (0, 3))
    _, after = update(g, restored, params)
    assert int(after.step) == 3
