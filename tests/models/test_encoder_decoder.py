import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.models.masks import attention_mask
from babeldraw.parallel.execution import Execution
from tests.models import tiny

GRID = [divmod(position, tiny.COLUMNS) for position in range(tiny.ROWS * tiny.COLUMNS)]


@functools.cache
def changed_logits(convention, kernel, wrap):
    """`changed[token, position]`: do the logits at `position` change when `token` does?"""
    model = tiny.transformer(
        decoder_inputs=convention, attention_kernel=kernel, attention_wrap=wrap
    )
    params = tiny.random_params(model)
    n = model.num_tokens
    tokens = tiny.pictures_tokens(1, model)
    # Row 0 as it is; in row t + 1 token t is another one.
    batch = jnp.tile(tokens, (n + 1, 1))
    batch = batch.at[1 + np.arange(n), np.arange(n)].set((tokens[0] + 1) % model.codebook_size)
    text = jnp.tile(tiny.prompts(1), (n + 1, 1))
    logits = np.asarray(tiny.jit(model.apply)({"params": params}, text, batch))
    return np.abs(logits[1:] - logits[0]).max(-1) > 2e-6 * np.abs(logits).max()


def reads(convention):
    """`reads[position, token]`: which tokens enter the decoder's input at `position`."""
    found = np.zeros((len(GRID),) * 2, bool)
    for position, (_, column) in enumerate(GRID):
        if position > 0 and (convention == "raster" or column > 0):
            found[position, position - 1] = True
        if convention == "row_start_above" and position >= tiny.COLUMNS:
            found[position, position - tiny.COLUMNS] = True
    return found


def reach(convention, kernel, wrap, layers=2):
    """Which tokens can reach which position's logits through `layers` masked layers."""
    mask = attention_mask(tiny.ROWS, tiny.COLUMNS, kernel, wrap).astype(int)
    return np.linalg.matrix_power(mask, layers) @ reads(convention) > 0


@pytest.mark.parametrize("convention", tiny.CONVENTIONS)
@pytest.mark.parametrize(
    ("kernel", "wrap"), [(1, False), (3, False), (3, True), (5, False), (None, False)]
)
def test_a_token_changes_what_it_can_reach_and_nothing_else(convention, kernel, wrap):
    changed = changed_logits(convention, kernel, wrap)
    np.testing.assert_array_equal(changed, reach(convention, kernel, wrap).T)
    # Causal: a token never changes the logits at its own position or before.
    assert not np.triu(changed.T).any()


def wavefront_holds(changed, kernel):
    """Do the logits at (r, c) depend on tokens of earlier times c + h r alone?"""
    half = (kernel - 1) // 2
    time = np.array([column + half * row for row, column in GRID])
    tokens, positions = np.nonzero(changed)
    return bool((time[tokens] < time[positions]).all())


@pytest.mark.parametrize("kernel", [3, 5])
def test_row_start_conventions_allow_wavefront_sampling(kernel):
    assert wavefront_holds(changed_logits("row_start", kernel, False), kernel)
    assert wavefront_holds(changed_logits("row_start_above", kernel, False), kernel)
    # Both conditions count: the raster input and the wrapping mask read across the right edge.
    assert not wavefront_holds(changed_logits("raster", kernel, False), kernel)
    assert not wavefront_holds(changed_logits("row_start", 3, True), 3)


@pytest.mark.parametrize("convention", ["row_start", "row_start_above"])
def test_the_last_column_never_reaches_the_next_row_start(convention):
    changed = changed_logits(convention, 3, False)
    for row in range(tiny.ROWS - 1):
        last = (row + 1) * tiny.COLUMNS - 1
        assert not changed[last, last + 1 : last + tiny.COLUMNS].any()
        # It is read from below, or by nobody.
        assert changed[last, last + tiny.COLUMNS] == (convention == "row_start_above")
    assert changed_logits("raster", 3, False)[tiny.COLUMNS - 1, tiny.COLUMNS]


@functools.cache
def compiled(model):
    return tiny.jit(model.apply)


def apply(model, params, *inputs):
    return compiled(model)({"params": params}, *inputs)


def test_padding_of_the_prompt_changes_nothing():
    model = tiny.transformer()
    params = tiny.random_params(model)
    tokens = tiny.pictures_tokens(2, model)
    bare = jnp.asarray([[7, 9, 1], [4, 3, 1]], jnp.int32)
    padded = jnp.pad(bare, ((0, 0), (0, 3)))
    expected, found = apply(model, params, bare, tokens), apply(model, params, padded, tokens)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # The text itself counts.
    other = apply(model, params, bare.at[:, 1].set(5), tokens)
    assert np.abs(other - expected).max() > 1e-2


def test_one_more_norm_ends_encoder_and_decoder():
    model = tiny.transformer()
    params = tiny.random_params(model)
    plain = {"scale": jnp.ones(model.d_model), "bias": jnp.zeros(model.d_model)}
    variables = {"params": params | {"encoder_norm": plain, "decoder_norm": plain}}
    encoded, _ = tiny.jit(functools.partial(model.apply, method="encode"))(
        variables, tiny.prompts(2)
    )
    np.testing.assert_allclose(encoded.mean(-1), 0, atol=1e-5)
    np.testing.assert_allclose(encoded.std(-1), 1, atol=1e-4)
    # Neither the length nor the mean of what the last layer gives reaches the logits.
    to_logits = tiny.jit(functools.partial(model.apply, method="decoder_logits"))
    x = jax.random.normal(jax.random.key(0), (2, 3, model.d_model))
    logits = to_logits(variables, x)
    np.testing.assert_allclose(to_logits(variables, 3 * x + 1), logits, atol=1e-4)
    assert np.abs(logits).max() > 0.1


def test_a_prompt_of_padding_alone_is_finite():
    for dtype in (jnp.float32, jnp.bfloat16):
        model = tiny.transformer(dtype=dtype)
        params = tiny.random_params(model)
        text = jnp.zeros((1, tiny.TEXT), jnp.int32)
        assert jnp.isfinite(apply(model, params, text, tiny.pictures_tokens(1, model))).all()


def loss_and_gradients(model, params):
    text, tokens, keys = tiny.prompts(2), tiny.pictures_tokens(2, model), tiny.keys(2)

    def loss(params):
        logits = model.apply({"params": params}, text, tokens, keys)
        return jnp.mean(jnp.square(logits)), logits

    (_, logits), gradients = tiny.jit(jax.value_and_grad(loss, has_aux=True))(params)
    return logits, gradients


def test_execution_changes_no_number():
    model = tiny.transformer(dropout_rate=0.2)
    params = tiny.random_params(model)
    logits, gradients = loss_and_gradients(model, params)
    norm = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradients))
    for execution in (Execution("full"), Execution("dots", unroll=True)):
        ours, our_gradients = loss_and_gradients(model.clone(execution=execution), params)
        np.testing.assert_allclose(ours, logits, rtol=1e-5, atol=1e-5)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * norm),
            our_gradients,
            gradients,
        )


def test_dropout_follows_the_example_and_its_key():
    model = tiny.transformer(dropout_rate=0.3)
    params = tiny.random_params(model)
    text, tokens, keys = tiny.prompts(4), tiny.pictures_tokens(4, model), tiny.keys(4)
    text, tokens = text.at[1].set(text[0]), tokens.at[1].set(tokens[0])
    logits = apply(model, params, text, tokens, keys)
    order = np.array([2, 0, 3, 1])
    permuted = apply(model, params, text[order], tokens[order], keys[order])
    np.testing.assert_allclose(permuted, logits[order], rtol=1e-5, atol=1e-5)
    # Equal examples have noise of their own.
    assert np.abs(logits[0] - logits[1]).max() > 1e-2
    # Other keys, or none, give other numbers; the same keys the same.
    np.testing.assert_array_equal(apply(model, params, text, tokens, keys), logits)
    for other in (tiny.keys(4, seed=1), None):
        assert np.abs(apply(model, params, text, tokens, other) - logits).max() > 1e-2


def operations(jaxpr):
    """Every primitive of a program, those inside its functions included."""
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                if hasattr(inner, "jaxpr"):
                    yield from operations(inner.jaxpr)
                elif hasattr(inner, "eqns"):
                    yield from operations(inner)


def test_products_are_bfloat16_and_norms_softmax_and_output_float32():
    model = tiny.transformer(dtype=jnp.bfloat16, decoder_inputs="row_start_above")
    params = tiny.random_params(model)
    text, tokens = tiny.prompts(1), tiny.pictures_tokens(1, model)
    program = jax.make_jaxpr(model.apply)({"params": params}, text, tokens, tiny.keys(1))
    assert program.out_avals[0].dtype == jnp.float32
    by_name = {}
    for equation in operations(program.jaxpr):
        if equation.invars and hasattr(equation.invars[0].aval, "dtype"):
            dtypes = by_name.setdefault(equation.primitive.name, [])
            dtypes.append((equation.invars[0].aval.dtype, equation.outvars[0].aval.shape))
    in_float32 = [shape for dtype, shape in by_name["dot_general"] if dtype == jnp.float32]
    assert in_float32 == [(model.num_tokens, model.codebook_size)]  # the logits alone
    assert {dtype for dtype, _ in by_name["rsqrt"]} == {jnp.dtype(jnp.float32)}
    assert {dtype for dtype, _ in by_name["exp"]} == {jnp.dtype(jnp.float32)}
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
