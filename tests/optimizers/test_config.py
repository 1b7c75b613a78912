import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from babeldraw.errors import UserError
from babeldraw.optimizers.config import Adafactor, Adam, decayed_parameters
from babeldraw.parallel.rules import unbox
from benchmarks.parameter_counts import abstract_params, text_to_image_model
from tests.models import tiny

PARAMS = {"wi": {"kernel": jnp.full((3, 2), 2.0), "bias": jnp.full((2,), 2.0)}}


def steps(optimizer, gradients, params=PARAMS):
    """The parameters after one update for each of `gradients`."""
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    for gradient in gradients:
        updates, state = update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params


def like(value, params=PARAMS):
    return jax.tree.map(lambda leaf: jnp.full_like(leaf, value), params)


def test_biases_and_norms_are_not_decayed():
    model = tiny.transformer()
    variables = jax.eval_shape(model.init, jax.random.key(0), *tiny.inputs(model))
    decayed = decayed_parameters(unbox(variables["params"]))
    names = {True: set(), False: set()}
    for path, choice in jax.tree_util.tree_leaves_with_path(decayed):
        names[choice].add(path[-1].key)
    assert names == {True: {"kernel", "table"}, False: {"scale", "bias"}}


def test_decay_is_decoupled_from_the_gradient():
    for config in (Adam, Adafactor):
        optimizer = config(learning_rate=optax.constant_schedule(0.1), weight_decay=0.5).make()
        after = steps(optimizer, [like(0.0)])
        np.testing.assert_allclose(after["wi"]["kernel"], 2.0 * (1 - 0.1 * 0.5), rtol=1e-6)
        np.testing.assert_array_equal(after["wi"]["bias"], 2.0)


def test_adam_is_its_formula():
    config = Adam(learning_rate=optax.constant_schedule(0.1), b1=0.9, b2=0.99)
    gradients = [1.0, -0.5, 2.0]
    m = v = 0.0
    expected = 2.0
    for count, g in enumerate(gradients, 1):
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
        expected -= 0.1 * (m / (1 - 0.9**count)) / (np.sqrt(v / (1 - 0.99**count)) + 1e-8)
    after = steps(config.make(), [like(g) for g in gradients])
    np.testing.assert_allclose(after["wi"]["kernel"], expected, rtol=1e-5)


def test_clipping_is_by_the_global_norm_and_comes_first():
    config = Adam(learning_rate=optax.constant_schedule(0.1), clip_norm=1.0)
    gradient = {"wi": {"kernel": jnp.full((3, 2), 3.0), "bias": jnp.full((2,), 4.0)}}
    norm = np.sqrt(6 * 9 + 2 * 16)
    second = like(0.01)
    scaled = jax.tree.map(lambda leaf: leaf / norm, gradient)
    unclipped = Adam(learning_rate=config.learning_rate).make()
    found = steps(config.make(), [gradient, second])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
        found,
        steps(unclipped, [scaled, second]),
    )
    other = steps(unclipped, [gradient, second])
    assert np.abs(found["wi"]["kernel"] - other["wi"]["kernel"]).max() > 1e-3


def test_adafactor_keeps_one_number_a_row_and_a_column():
    params = {"kernel": jnp.ones((128, 256))}
    optimizer = Adafactor(learning_rate=optax.constant_schedule(0.1)).make()
    sizes = [leaf.size for leaf in jax.tree.leaves(optimizer.init(params))]
    # The first moment, row and column means, a scale for each row (fewer than columns), counters.
    assert sum(sizes) == 128 * 256 + 128 + 256 + 128 + 3


def test_adafactor_moves_as_its_constants_say():
    """With a constant gradient the scaled update is 1, and the first moment approaches it."""
    config = Adafactor(learning_rate=optax.constant_schedule(0.1), b1=0.9, weight_decay=0.0)
    after = steps(config.make(), [like(3.0)] * 2)
    # First moments 0.1 and 0.19, not debiased.
    np.testing.assert_allclose(after["wi"]["kernel"], 2.0 - 0.1 * (0.1 + 0.19), rtol=1e-4)


def test_adafactor_forgets_old_gradients_at_its_constant_rate():
    """b2 = 0.96 whatever the step: a large gradient fades after a few time constants of 25."""
    config = Adafactor(learning_rate=optax.constant_schedule(1.0), b1=0.0, weight_decay=0.0)
    optimizer = config.make()
    state = optimizer.init(PARAMS)
    squares, weight = 0.0, 0.0
    update = jax.jit(lambda gradient, state: optimizer.update(like(gradient), state, PARAMS))
    for gradient in [1.0] * 300 + [0.01] * 40:
        updates, state = update(gradient, state)
        squares = 0.96 * squares + 0.04 * gradient**2
        weight = 0.96 * weight + 0.04
    expected = -0.01 / np.sqrt(squares / weight)
    np.testing.assert_allclose(updates["wi"]["kernel"], expected, rtol=1e-3)
    assert expected == pytest.approx(-0.0223, rel=0.02)


def test_layer_axes_reach_adafactor_and_adam_ignores_them():
    params = {"kernel": jnp.ones((3, 40, 40))}
    settings = {"learning_rate": optax.constant_schedule(0.1)}
    assert Adafactor(**settings).make(1).init(params).column["kernel"].shape == (3, 1, 40)
    assert Adafactor(**settings).make().init(params).column["kernel"].shape == (1, 1, 40)
    adam = Adam(**settings)
    assert jax.tree.structure(adam.make(1).init(params)) == jax.tree.structure(
        adam.make().init(params)
    )


def test_the_moment_has_the_dtype_that_is_asked_for():
    for name in ("int8", "bfloat16", "float32"):
        config = Adafactor(learning_rate=optax.constant_schedule(0.1), first_moment_dtype=name)
        assert config.make().init(PARAMS).moment["wi"]["kernel"].dtype == name
    with pytest.raises(UserError, match=r"first_moment_dtype is 'int4': set it to one of 'int8'"):
        Adafactor(learning_rate=optax.constant_schedule(0.1), first_moment_dtype="int4")


def test_350m_has_one_byte_a_parameter():
    """State of at most 1.01 bytes for each parameter of gin/models/350m.gin."""
    params = unbox(abstract_params(text_to_image_model("350m")))
    depths = jax.tree_util.tree_map_with_path(
        lambda path, _: int(any(key.key == "layers" for key in path)), params
    )
    optimizer = Adafactor(learning_rate=optax.constant_schedule(0.1)).make(depths)
    state = jax.eval_shape(optimizer.init, params)
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    assert size / sum(leaf.size for leaf in jax.tree.leaves(params)) <= 1.01
