"""The rule: bit for bit that of `numpy_adafactor`, whatever the tree, and what it leaves alone.

Bit for bit is shown for the operations one by one (`jax.disable_jit`). A compiled update fuses
multiplications with additions and takes reciprocals of roots, which moves last bits; it is within
one quantisation step.
"""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis.extra import numpy as arrays

from babeldraw.optimizers.adafactor import adafactor, dequantise, quantise
from tests.optimizers.numpy_adafactor import NumpyAdafactor, jax_sum, numpy_sum
from tests.quick import AS_FOR_USERS

NO_SHRINKING = (hypothesis.Phase.explicit, hypothesis.Phase.generate)  # An example is seconds.
SLOTS = ("moment", "scale", "row", "column", "square")
FACTOR_FROM = 4
LEAVES = {
    # name: (shape, layer axes); the few shapes bound what is compiled, their mixtures vary.
    "scalar": ((), 0),
    "vector": ((7,), 0),
    "matrix": ((6, 9), 0),
    "low": ((3, 8), 0),  # Too few rows to factor.
    "attention": ((12, 2, 5), 0),
    "convolution": ((3, 2, 4, 5), 0),
    "stacked_scalars": ((3,), 1),
    "stacked_vectors": ((3, 7), 1),
    "stacked": ((3, 6, 9), 1),
    "stacked_attention": ((2, 2, 5, 12), 1),
    "pipelined": ((2, 2, 6, 9), 2),
}
DEPTHS = {name: depth for name, (_, depth) in LEAVES.items()}


def tree(names, seed):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=LEAVES[name][0]).astype(np.float32) for name in names}


def gradients(names, seed, step):
    """Of widely different sizes, with rows and columns of zeros."""
    rng = np.random.default_rng((seed, step))

    def gradient(shape):
        g = rng.normal(size=shape) * 10 ** rng.uniform(-4, 1)
        for axis, n in enumerate(shape):
            g *= (rng.random(n) > 0.1).reshape([n if i == axis else 1 for i in range(len(shape))])
        return g.astype(np.float32)

    return {name: gradient(LEAVES[name][0]) for name in names}


def schedule(step):
    """Exact in float32 whoever computes it."""
    return jnp.float32(2.0**-7) * (step + 1)


def make(names, **settings):
    return adafactor(
        schedule,
        min_dim_size_to_factor=FACTOR_FROM,
        layer_axes={name: DEPTHS[name] for name in names},
        **settings,
    )


def make_numpy(params, **settings):
    depths = {name: DEPTHS[name] for name in params}
    return NumpyAdafactor(params, depths, schedule, min_dim_size_to_factor=FACTOR_FROM, **settings)


def assert_same(state, expected, names):
    for slot in SLOTS:
        for name in names:
            found, wanted = getattr(state, slot)[name], expected.slot(slot, name)
            assert (found is None) == (wanted is None), (slot, name)
            if wanted is not None:
                assert found.dtype == wanted.dtype
                np.testing.assert_array_equal(found, wanted, err_msg=f"{slot} of {name}")


def assert_close(state, expected, names):
    """The moments within one quantisation step."""
    for name in names:
        found, wanted = state.moment[name], expected.slot("moment", name)
        if found.dtype == jnp.int8:
            difference = np.abs(np.int32(found) - np.int32(wanted))
            assert difference.max(initial=0) <= 1, name
        for slot in SLOTS[1:]:
            wanted = expected.slot(slot, name)
            if wanted is not None:
                np.testing.assert_allclose(getattr(state, slot)[name], wanted, rtol=1e-4)


@hypothesis.settings(max_examples=3, deadline=None, derandomize=True, phases=NO_SHRINKING)
@hypothesis.given(
    names=st.lists(st.sampled_from(sorted(LEAVES)), min_size=1, max_size=2, unique=True),
    seed=st.integers(0, 2**16),
)
def test_fifty_steps_are_numpys_bit_for_bit(names, seed):
    run_in_numpys_company(names, seed, 50)


@pytest.mark.slow
def test_every_shape_is_numpys_bit_for_bit():
    run_in_numpys_company(sorted(LEAVES), 0, 2)


def test_a_float32_moment_is_numpys_bit_for_bit():
    run_in_numpys_company(["stacked"], 0, 3, jnp.float32)


def run_in_numpys_company(names, seed, steps, dtype=jnp.int8):
    params = tree(names, seed)
    ours = jax.tree.map(jnp.asarray, params)
    optimizer = make(names, first_moment_dtype=dtype)
    expected = make_numpy(params, dtype=np.dtype(dtype), add=jax_sum)
    with jax.disable_jit():
        state = optimizer.init(ours)
        for step in range(steps):
            g = gradients(names, seed, step)
            params = expected.update(g, params)
            updates, state = optimizer.update(jax.tree.map(jnp.asarray, g), state, ours)
            ours = optax.apply_updates(ours, updates)
    assert_same(state, expected, names)
    assert state.step == expected.step == steps
    for name in names:
        np.testing.assert_array_equal(ours[name], params[name])


def test_compiled_it_is_within_a_quantisation_step_of_numpy():
    names = sorted(LEAVES)
    params = tree(names, 1)
    ours = jax.tree.map(jnp.asarray, params)
    optimizer = make(names)
    update = jax.jit(optimizer.update, compiler_options=AS_FOR_USERS)
    state = optimizer.init(ours)
    expected = make_numpy(params, add=numpy_sum)
    for step in range(50):
        g = gradients(names, 1, step)
        params = expected.update(g, params)
        updates, state = update(g, state, ours)
        ours = optax.apply_updates(ours, updates)
    assert_close(state, expected, names)
    for name in names:
        np.testing.assert_allclose(ours[name], params[name], rtol=1e-3, atol=1e-3)


def test_a_bfloat16_moment_is_within_its_rounding():
    params = {"kernel": jnp.ones((8, 8))}
    states = {}
    for dtype in (jnp.bfloat16, jnp.float32):
        optimizer = adafactor(0.01, first_moment_dtype=dtype)
        state = optimizer.init(params)
        for step in range(3):
            g = {"kernel": jax.random.normal(jax.random.key(step), (8, 8))}
            _, state = jax.jit(optimizer.update)(g, state, params)
        states[dtype] = state
        assert state.moment["kernel"].dtype == dtype
        assert state.scale["kernel"] is None
    rough, exact = (states[dtype].moment["kernel"] for dtype in states)
    np.testing.assert_allclose(rough.astype(jnp.float32), exact, rtol=0.02, atol=1e-5)


@pytest.mark.parametrize("compiled", [pytest.param(False, marks=pytest.mark.slow), True])
def test_layers_may_be_counted_along_one_axis_or_two(compiled):
    """`[L, ...]` and `[R, L/R, ...]` are the same numbers: bit for bit, or compiled, nearly."""
    shapes = {"attention": (2, 5, 12), "bias": (7,)}
    rng = np.random.default_rng(0)

    def run(lengths):
        params = {name: jnp.ones((*lengths, *shape)) for name, shape in shapes.items()}
        optimizer = adafactor(0.1, min_dim_size_to_factor=4, layer_axes=len(lengths))
        update = jax.jit(optimizer.update) if compiled else optimizer.update
        state = optimizer.init(params)
        for g in flat:
            g = {name: jnp.asarray(g[name]).reshape(params[name].shape) for name in shapes}
            updates, state = update(g, state, params)
            params = optax.apply_updates(params, updates)
        return jax.tree.map(lambda x: x.reshape(4, -1) if x.ndim else x, (params, state))

    flat = [
        {name: np.float32(rng.normal(size=(4, *shape))) for name, shape in shapes.items()}
        for _ in range(2)
    ]
    with jax.disable_jit(not compiled):
        one, two = run((4,)), run((2, 2))
    if not compiled:
        jax.tree.map(np.testing.assert_array_equal, one, two)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        if a.dtype == jnp.int8:
            assert np.abs(np.int32(a) - np.int32(b)).max() <= 1
        else:
            np.testing.assert_allclose(a, b, rtol=1e-5)


def test_a_layer_is_updated_as_if_it_were_alone():
    stack = {"kernel": jax.random.normal(jax.random.key(0), (3, 8, 8))}
    g = {"kernel": 0.1 * jax.random.normal(jax.random.key(1), (3, 8, 8))}
    for n in (1, 0):
        optimizer = adafactor(0.1, layer_axes=n, min_dim_size_to_factor=4)
        updates, _ = jax.jit(optimizer.update)(g, optimizer.init(stack), stack)
        alone = jax.tree.map(lambda x: x[1], (g, stack))
        optimizer = adafactor(0.1, min_dim_size_to_factor=4)
        update, _ = jax.jit(optimizer.update)(alone[0], optimizer.init(alone[1]), alone[1])
        same = np.allclose(updates["kernel"][1], update["kernel"], rtol=1e-5)
        assert same == (n == 1)


def test_layer_axes_may_be_a_function_or_a_prefix():
    params = {"stack": {"a": jnp.ones((3, 40, 40)), "b": jnp.ones((3, 40))}, "c": jnp.ones((40,))}
    by_prefix = adafactor(0.1, layer_axes={"stack": 1, "c": 0}).init(params)
    by_function = adafactor(0.1, layer_axes=lambda p: {"stack": 1, "c": 0}).init(params)
    jax.tree.map(np.testing.assert_array_equal, by_prefix, by_function)
    assert by_prefix.row["stack"]["a"].shape == (3, 40, 1)
    assert by_prefix.scale["stack"]["b"].shape == (3, 1)
    assert by_prefix.scale["c"].shape == (1,)


@pytest.mark.parametrize(
    ("shape", "depth", "row", "column", "scale"),
    [
        ((64, 256), 0, (64, 1), (1, 256), (64, 1)),  # [embed, mlp]
        ((256, 64), 0, (256, 1), (1, 64), (1, 64)),
        ((64, 4, 16), 0, (64, 1, 1), (1, 4, 16), (1, 4, 16)),  # [embed, heads, head_dim]
        ((4, 16, 64), 0, (4, 16, 1), (1, 1, 64), (1, 1, 64)),  # [heads, head_dim, embed]
        ((5, 4, 16, 64), 1, (5, 4, 16, 1), (5, 1, 1, 64), (5, 1, 1, 64)),
        ((5, 2, 64, 64), 2, (5, 2, 64, 1), (5, 2, 1, 64), (5, 2, 1, 64)),
        ((3, 3, 32, 64), 0, (3, 3, 32, 1), (1, 1, 1, 64), (1, 1, 1, 64)),  # a convolution
        ((8, 64), 0, None, None, (8, 1)),  # too few rows to factor
        ((64,), 0, None, None, (1,)),
        ((5, 64), 1, None, None, (5, 1)),
        ((), 0, None, None, None),
    ],
)
def test_every_array_has_the_rank_of_its_parameter(shape, depth, row, column, scale):
    state = adafactor(0.1, layer_axes=depth).init({"w": jnp.ones(shape)})
    found = {name: getattr(state, name)["w"] for name in SLOTS}
    assert found["moment"].shape == shape
    assert found["moment"].dtype == (jnp.int8 if shape else jnp.float32)
    for name, wanted in (("row", row), ("column", column), ("scale", scale)):
        assert (None if found[name] is None else found[name].shape) == wanted
    assert (found["square"] is None) == (row is not None)


numbers = st.floats(-1e4, 1e4, width=32, allow_subnormal=False)


@hypothesis.settings(max_examples=50, deadline=None, derandomize=True)
@hypothesis.given(arrays.arrays(np.float32, (6, 3), elements=numbers))
def test_what_has_been_quantised_is_quantised_to_itself(x):
    quantised, scale = quantise(jnp.asarray(x), (0,))
    assert scale.shape == (1, 3)
    assert np.abs(np.int32(quantised)).max() <= 127
    assert np.abs(dequantise(quantised, scale) - x).max() <= 0.5001 * np.max(scale)
    again, _ = quantise(dequantise(quantised, scale), (0,))
    np.testing.assert_array_equal(again, quantised)


def test_lines_of_zeros_and_of_denormal_numbers_are_zeros():
    x = jnp.zeros((4, 3)).at[:, 1].set(1e-44).at[2, 2].set(-2.0)
    quantised, scale = quantise(x, (0,))
    np.testing.assert_array_equal(quantised[:, :2], 0)
    np.testing.assert_array_equal(scale[0, :2], 0)
    np.testing.assert_array_equal(quantised[:, 2], [0, 0, -127, 0])
    np.testing.assert_array_equal(dequantise(quantised, scale)[:, :2], 0)


def test_parameters_without_a_gradient_stay():
    params = {"kernel": jnp.ones((40, 40)), "bias": jnp.ones((40,))}
    optimizer = adafactor(0.1, weight_decay=0.0)
    zero = optax.tree.zeros_like(params)
    updates, state = jax.jit(optimizer.update)(zero, optimizer.init(params), params)
    jax.tree.map(lambda x: np.testing.assert_array_equal(x, 0), updates)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))


@pytest.mark.parametrize("bad", [np.nan, -np.inf, 1e25])
@pytest.mark.parametrize("dtype", [jnp.int8, jnp.float32])
def test_a_gradient_that_is_not_finite_changes_nothing_but_a_count(bad, dtype):
    """1e25 is finite and its square is not: nothing good can be made of it either."""
    names = ["matrix", "stacked", "stacked_vectors", "scalar"]
    params = tree(names, 0)
    optimizer = make(names, first_moment_dtype=dtype)
    update = jax.jit(optimizer.update)
    _, before = update(gradients(names, 0, 0), optimizer.init(params), params)
    g = gradients(names, 0, 1)
    g["stacked"][1, 2, 3] = bad
    updates, after = update(g, before, params)
    jax.tree.map(lambda x: np.testing.assert_array_equal(x, 0), updates)
    assert (after.skipped, before.skipped) == (1, 0)
    jax.tree.map(np.testing.assert_array_equal, after._replace(skipped=before.skipped), before)
    _, later = update(gradients(names, 0, 2), after, params)
    assert (later.skipped, later.step) == (1, 2)


def test_the_whole_gradient_is_clipped():
    params = {"a": jnp.ones((2,)), "b": jnp.ones((2,))}
    optimizer = adafactor(0.1, b1=0.0, clip_norm=1.0, first_moment_dtype=jnp.float32)
    state = optimizer.init(params)
    g = {"a": jnp.array([3.0, 0.0]), "b": jnp.array([0.0, 4.0])}
    _, state = optimizer.update(g, state, params)
    # 5 long; squares are of 3/5 and 4/5.
    np.testing.assert_allclose(state.square["a"], [0.04 * 0.36, 0], rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(state.square["b"], [0, 0.04 * 0.64], rtol=1e-5, atol=1e-12)


def test_the_mask_says_what_is_decayed():
    params = {"kernel": jnp.full((3, 3), 2.0), "bias": jnp.full((3,), 2.0)}
    zero = optax.tree.zeros_like(params)
    for mask in ({"kernel": True, "bias": False}, lambda p: {"kernel": True, "bias": False}):
        optimizer = adafactor(0.1, weight_decay=0.5, weight_decay_mask=mask)
        updates, _ = jax.jit(optimizer.update)(zero, optimizer.init(params), params)
        np.testing.assert_allclose(updates["kernel"], -0.1 * 0.5 * 2, rtol=1e-6)
        np.testing.assert_array_equal(updates["bias"], 0)


def test_updates_have_the_dtype_of_their_parameters():
    params = {"kernel": jnp.ones((2, 40, 40), jnp.bfloat16)}
    optimizer = adafactor(0.1, layer_axes=1)
    updates, state = jax.jit(optimizer.update)(params, optimizer.init(params), params)
    assert updates["kernel"].dtype == jnp.bfloat16
    assert state.row["kernel"].dtype == jnp.float32


@pytest.mark.filterwarnings("ignore:Some donated buffers")  # Gradients give their memory inside.
def test_no_stack_is_kept_twice():
    """Donated, an update of a stack needs one layer of it in float32 above its inputs."""
    shapes = {"wi": (8, 256, 1024), "wo": (8, 1024, 256)}
    params = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}
    layer = sum(4 * np.prod(shape[1:]) for shape in shapes.values())

    def temporaries(optimizer):
        def step(g, state, params):
            updates, state = optimizer.update(g, state, params)
            return optax.apply_updates(params, updates), state

        state = jax.eval_shape(optimizer.init, params)
        compiled = jax.jit(step, donate_argnums=(0, 1, 2)).lower(params, state, params).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporaries(adafactor(0.1, layer_axes=1)) < 1.05 * layer
    assert temporaries(adafactor(0.1, layer_axes=1, first_moment_dtype=jnp.float32)) < 1.05 * layer


def test_other_dtypes_are_refused():
    with pytest.raises(ValueError, match="give int8, bfloat16 or float32"):
        adafactor(0.1, first_moment_dtype=jnp.int16)


def test_update_needs_the_parameters():
    optimizer = adafactor(0.1)
    with pytest.raises(ValueError, match="params"):
        optimizer.update({"w": jnp.ones(3)}, optimizer.init({"w": jnp.ones(3)}))
