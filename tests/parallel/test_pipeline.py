"""Contract: a pipelined stack computes what its layers compute one after another, for any stages,
rounds and microbatches; bubbles leave no trace; an iteration keeps its input and nothing else."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from babeldraw.errors import UserError
from babeldraw.parallel import microbatches, pipeline
from babeldraw.parallel.mesh import make_mesh
from babeldraw.parallel.pipeline import run_pipeline
from babeldraw.parallel.rules import placing, training_rules
from babeldraw.parallel.schedule import Pipeline
from babeldraw.planning.collectives import find_collectives
from babeldraw.planning.hlo import Program
from tests.models import tiny

LAYERS, BATCH, WIDTH = 8, 16, 5

# (stages, microbatches, rounds): GPipe, circular, as many microbatches as stages, one stage.
SCHEDULES = [
    (2, 2, 1),
    (4, 8, 2),
    (4, 4, 2),
    (2, 8, 4),
    (1, 2, 8),
]


def stage_fn(params, x, shared, first_layer):
    """Layers that read every kind of state: what changes, what is shared, keys, their own number.

    Without care a bubble's NaN would stay: tanh(NaN) is NaN, and so is 0 x NaN in the gradient.
    """
    for k, w in enumerate(params["w"]):
        keys = jax.vmap(jax.random.fold_in, (0, None))(shared["keys"], first_layer + k)
        noise = jax.vmap(jax.random.uniform)(keys)[:, None].astype(w.dtype)
        h = jnp.tanh(x["h"] @ w + params["b"][k] + shared["text"]) + noise
        x = {"h": h, "visited": x["visited"] * 3 + (first_layer + k) % 3}
    return x


def arguments(dtype=jnp.float32):
    rng = np.random.default_rng(0)

    def draw(*shape):
        return jnp.asarray(rng.normal(size=shape), dtype)

    params = {"w": draw(LAYERS, WIDTH, WIDTH), "b": draw(LAYERS, WIDTH)}
    return params, draw(BATCH, WIDTH), draw(BATCH, WIDTH)


def run(execute):
    """`execute(params, x, shared) -> x` with a loss on top: ((loss, x), gradients), jitted."""

    def loss(params, h, text):
        keys = jax.random.split(jax.random.key(1), BATCH)
        x = {"h": h, "visited": jnp.arange(BATCH)}
        x = execute(params, x, {"keys": keys, "text": text})
        return jnp.sum(jnp.sin(x["h"].astype(jnp.float32))), x

    return tiny.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))


@functools.cache
def in_order(dtype=jnp.float32):
    """What there is to reach: every layer in turn, on the whole batch."""
    return run(lambda params, x, shared: stage_fn(params, x, shared, 0))(*arguments(dtype))


def pipelined(stages, num_microbatches, rounds, remat_policy=None, fn=stage_fn):
    settings = Pipeline(stages, num_microbatches, rounds)

    def execute(params, x, shared):
        params = jax.tree.map(
            lambda leaf: leaf.reshape(rounds, LAYERS // rounds, *leaf.shape[1:]), params
        )
        return run_pipeline(fn, params, x, shared, settings, remat_policy)

    return execute


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_result_and_gradients_are_those_of_layers_in_order(schedule):
    (_, expected), expected_gradients = in_order()
    (_, x), gradients = run(pipelined(*schedule))(*arguments())
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), x, expected)
    np.testing.assert_array_equal(x["visited"], expected["visited"])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-6),
        gradients,
        expected_gradients,
    )


def test_bfloat16_and_rematerialisation():
    policy = jax.checkpoint_policies.nothing_saveable
    (_, expected), expected_gradients = in_order(jnp.bfloat16)
    (_, x), gradients = run(pipelined(4, 4, 2, policy))(*arguments(jnp.bfloat16))
    np.testing.assert_allclose(
        x["h"].astype(np.float32), expected["h"].astype(np.float32), atol=0.05
    )
    for leaf, other in zip(
        jax.tree.leaves(gradients), jax.tree.leaves(expected_gradients), strict=True
    ):
        assert leaf.dtype == jnp.bfloat16
        error = np.linalg.norm(leaf.astype(np.float32) - other.astype(np.float32))
        assert error < 0.05 * np.linalg.norm(other.astype(np.float32))


@pytest.mark.parametrize(
    ("schedule", "policy"),
    [((4, 8, 1), None), ((4, 4, 2), jax.checkpoint_policies.nothing_saveable)],
)
def test_nan_in_bubbles_changes_nothing(schedule, policy, monkeypatch):
    clean = run(pipelined(*schedule, policy))(*arguments())
    monkeypatch.setattr(pipeline, "_BUBBLE_FILL", np.nan)
    seen = []

    def watched(params, x, shared, first_layer):
        jax.debug.callback(lambda h: seen.append(bool(np.isnan(h).any())), x["h"])
        return stage_fn(params, x, shared, first_layer)

    filled = run(pipelined(*schedule, policy, watched))(*arguments())
    jax.tree.map(np.testing.assert_array_equal, filled, clean)
    jax.effects_barrier()
    assert any(seen) and not all(seen)  # the NaN were really there


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_executed_layer_calls(schedule):
    stages, num_microbatches, rounds = schedule
    settings = Pipeline(*schedule)
    calls = []

    def count(h):
        calls.append(h.shape)
        return h

    def counted(params, x, shared, first_layer):
        for _ in params["w"]:
            shape = jax.ShapeDtypeStruct(x["h"].shape, x["h"].dtype)
            h = jax.pure_callback(count, shape, x["h"], vmap_method="sequential")
            x = {**x, "h": h}
        return x

    params, h, text = arguments()
    execute = jax.jit(pipelined(*schedule, fn=counted))
    x = execute(params, {"h": h}, {"text": text})
    np.testing.assert_array_equal(x["h"], h)
    assert set(calls) == {(BATCH // num_microbatches, WIDTH)}
    useful = num_microbatches * LAYERS
    assert len(calls) == pytest.approx(useful / (1 - settings.bubble_fraction(LAYERS)), abs=1e-9)
    assert len(calls) == settings.iterations(LAYERS) * stages * (LAYERS // (stages * rounds))


def test_bubble_fractions():
    # scale.md's table, which is (S - 1) / (M R + S - 1).
    for rounds, row in {1: (48.4, 31.9, 19.0, 10.5), 4: (19.0, 10.5, 5.5, 2.8)}.items():
        for num_microbatches, percent in zip((16, 32, 64, 128), row, strict=True):
            bubble = Pipeline(16, num_microbatches).bubble_fraction(16 * rounds)
            assert round(100 * bubble, 1) == percent


def test_microbatches_interleave_examples_and_come_back_in_order():
    x = jnp.arange(6.0).reshape(6, 1)
    store = microbatches.to_store(x, stages=2, num_microbatches=3)
    assert store.shape == (2, 4, 2, 1)
    np.testing.assert_array_equal(store[0, :3, :, 0], [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(microbatches.from_store(store.at[1].set(jnp.nan)), x)


def test_an_iteration_keeps_its_input_and_nothing_else():
    schedule = (4, 4, 2)
    iterations = Pipeline(*schedule).iterations(LAYERS)
    execute = pipelined(*schedule, jax.checkpoint_policies.nothing_saveable)
    jaxpr = run(execute).trace(*arguments()).jaxpr.jaxpr
    forward = next(scan for scan in scans(jaxpr) if scan.params["length"] == iterations)
    kept = [
        variable.aval
        for variable in forward.outvars[forward.params["num_carry"] :]
        if jnp.issubdtype(variable.aval.dtype, jnp.floating)
    ]
    # The inputs `h` and `text` of every stage: neither weights, nor the store, nor noise.
    assert sorted(aval.shape for aval in kept) == [(iterations, 4, BATCH // 4, WIDTH)] * 2


def scans(jaxpr):
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from scans(inner)


def test_on_a_mesh_stages_only_hand_over_their_buffer():
    axes = {"data": 2, "stage": 4, "model": 1}
    with placing(make_mesh(axes), training_rules()):
        lowered = run(pipelined(4, 4, 2)).lower(*arguments())
        compiled = lowered.compile()
    (_, x), _ = compiled(*arguments())
    text = lowered.as_text()
    assert '{"stage"}, {"data"}' in text, "the buffer is placed"
    assert '{"stage"}, {}, {"data"}' in text, "the store is placed"
    looped = [row for row in find_collectives(Program(compiled.as_text()), axes) if row.in_loop]
    assert {(row.kind, row.axes) for row in looped} == {("collective-permute", ("stage",))}
    # The schedule alone changes nothing: layers in order, on what a device has of a microbatch. Two
    # programs, which some processors round differently: by a unit or two in each of the layers.
    params, h, text = arguments()
    keys = jax.random.split(jax.random.key(1), BATCH)
    layers = tiny.jit(lambda params, x, shared: stage_fn(params, x, shared, 0)["h"])
    for m in range(4):
        mine = slice(m, None, 4)
        expected = layers(
            params,
            {"h": h[mine], "visited": jnp.arange(BATCH)[mine]},
            {"keys": keys[mine], "text": text[mine]},
        )
        units = 2 * LAYERS * np.spacing(np.abs(expected).max())
        np.testing.assert_allclose(x["h"][mine], expected, rtol=0, atol=units)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Pipeline(4, 3), "3 microbatches .* `num_microbatches` to 4 or more"),
        (lambda: Pipeline(0, 3), "0 stages .* to 1 or more"),
        (lambda: Pipeline(2, 3, 0), "0 rounds .* to 1 or more"),
        (lambda: Pipeline(3, 4).rounds(8), "8 layers do not divide by 3 stages: .* 1, 2, 4, 8"),
        (lambda: Pipeline(16, 16, 4).rounds(16), "16 stages x 4 rounds: .* `circular_.* of 1,"),
        (lambda: Pipeline(4, 4, 3).rounds(16), "4 stages x 3 rounds: .* one of 1, 2, 4,"),
        (lambda: pipelined(2, 3, 1)(*trees()), "batch of 16 does not divide into 3 microbatches"),
    ],
)
def test_bad_settings(make, sentence):
    with pytest.raises(UserError, match=sentence):
        make()


def test_bad_settings_on_a_mesh():
    with placing(make_mesh({"data": 4, "stage": 2}), training_rules()):
        with pytest.raises(UserError, match=r"2 examples does not divide by the 4 .* 'data'"):
            pipelined(2, 8, 1)(*trees())
        with pytest.raises(UserError, match="1 stages do not divide by the 2 devices"):
            pipelined(1, 2, 1)(*trees())


def trees():
    params, h, text = arguments()
    return params, {"h": h}, {"text": text}
