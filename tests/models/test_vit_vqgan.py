import functools

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.models.vit_vqgan import LOGIT_LAPLACE_EPSILON, Quantizer
from babeldraw.parallel.rules import unbox
from tests.models import tiny


def quantizer(l2_normalize):
    module = Quantizer(codebook_size=50, code_dim=4, l2_normalize=l2_normalize)
    codebook = np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32)
    return module, {"params": {"codebook": jnp.asarray(codebook)}}, codebook.astype(np.float64)


def run(module, variables, x, method):
    return tiny.jit(functools.partial(module.apply, method=method))(variables, x)


@pytest.mark.parametrize("l2_normalize", [True, False])
def test_quantizer_finds_the_nearest_code(l2_normalize):
    module, variables, codes = quantizer(l2_normalize)
    z = np.random.default_rng(2).normal(size=(3, 40, 4)).astype(np.float32)
    vectors = run(module, variables, z, method="normalize")
    found = run(module, variables, vectors, method="nearest")

    exact = np.asarray(z, np.float64)
    if l2_normalize:
        codes = codes / np.linalg.norm(codes, axis=-1, keepdims=True)
        exact = exact / np.linalg.norm(exact, axis=-1, keepdims=True)
    expected = np.square(exact[:, :, None] - codes).sum(-1).argmin(-1)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(vectors, exact, atol=1e-6)
    np.testing.assert_allclose(
        run(module, variables, found, method="lookup"), codes[expected], atol=1e-6
    )
    assert found.dtype == jnp.int32


def test_codes_are_compared_in_float32_on_every_backend():
    """By default a TPU rounds the factors to bfloat16, and finds other codes."""
    module, variables, _ = quantizer(True)
    z = jnp.zeros((40, 4))
    program = jax.make_jaxpr(functools.partial(module.apply, method="nearest"))(variables, z)
    text = str(program)
    assert text.count("dot_general[") == text.count("precision=(Precision.HIGHEST") == 1


def test_normalising_changes_which_code_is_nearest():
    z = np.random.default_rng(2).normal(size=(1, 40, 4)).astype(np.float32)
    found = []
    for l2_normalize in (True, False):
        module, variables, _ = quantizer(l2_normalize)
        vectors = run(module, variables, z, method="normalize")
        found.append(np.asarray(run(module, variables, vectors, method="nearest")))
    assert (found[0] != found[1]).any()


def test_the_zero_vector_has_a_finite_direction_and_gradient():
    module, variables, _ = quantizer(True)

    def total(z):
        return module.apply(variables, z, method="normalize").sum()

    assert np.isfinite(tiny.jit(jax.grad(total))(np.zeros((1, 4), np.float32))).all()


def test_codes_start_normal():
    module = Quantizer(codebook_size=2000, code_dim=4)
    init = tiny.jit(functools.partial(module.init, method="nearest"))
    codes = np.asarray(unbox(init(jax.random.key(0), jnp.zeros((1, 4))))["params"]["codebook"])
    assert codes.mean() == pytest.approx(0, abs=0.05)
    # Shares within one and two standard deviations.
    assert (abs(codes) < 1).mean() == pytest.approx(0.683, abs=0.02)
    assert (abs(codes) < 2).mean() == pytest.approx(0.954, abs=0.01)


@functools.cache
def model_and_params(**settings):
    model = tiny.tokenizer(**settings)
    return model, tiny.random_params(model)


def as_float(pictures):
    return jnp.asarray(np.asarray(pictures, np.float32) / 255)


def test_gradient_passes_straight_through_the_codes():
    model, params = model_and_params()
    pictures = as_float(tiny.images(2))
    weights = np.random.default_rng(0).normal(size=(2, 16, 20, 6)).astype(np.float32)

    def reconstruction(params):
        output, *_ = model.apply({"params": params}, pictures)
        return jnp.sum(weights * output)

    gradient = tiny.jit(jax.grad(reconstruction))(params)

    # By hand: the gradient at the codes, handed to the encoder as if its vectors were the codes.
    _, _, codes, _ = tiny.jit(model.apply)({"params": params}, pictures)

    def from_codes(codes):
        return jnp.sum(weights * model.apply({"params": params}, codes, method="decode_codes"))

    def vectors(params):
        return model.apply({"params": params}, pictures, method="encode_to_codes")

    @tiny.jit
    def by_hand(params):
        return jax.vjp(vectors, params)[1](jax.grad(from_codes)(codes))[0]

    expected = by_hand(params)
    for part in ("encoder", "to_code"):
        largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected[part]))
        assert largest > 1e-2
        jax.tree.map(
            lambda a, b, atol=1e-4 * largest: np.testing.assert_allclose(
                a, b, rtol=1e-3, atol=atol
            ),
            gradient[part],
            expected[part],
        )
    # The picture teaches the codebook nothing; that is the VQ loss's share.
    assert not np.any(gradient["quantizer"]["codebook"])


def test_output_vectors_codes_and_tokens_belong_together():
    model, params = model_and_params()
    pictures = as_float(tiny.images(3))
    output, z, codes, tokens = tiny.jit(model.apply)({"params": params}, pictures)
    assert output.shape == (3, 16, 20, 6)
    assert z.shape == codes.shape == (3, model.num_tokens, 4)
    np.testing.assert_allclose(np.linalg.norm(z, axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(codes, axis=-1), 1, atol=1e-5)
    encode = tiny.jit(functools.partial(model.apply, method="encode"))
    np.testing.assert_array_equal(encode({"params": params}, pictures), tokens)
    expected = np.clip(tiny.jit(model.to_image)(output), 0, 1)
    decode = tiny.jit(functools.partial(model.apply, method="decode"))
    found = np.asarray(decode({"params": params}, tokens))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.min() >= 0
    assert found.max() <= 1


def without_blocks(params, side):
    """Blocks that add nothing: what is left is a function of each patch or token alone."""
    blocks = jax.tree.map(np.zeros_like, params[side]["blocks"])
    return params | {side: params[side] | {"blocks": blocks}}


def test_a_token_stands_for_its_own_patch():
    """Patches are read in raster order, as tokens are drawn."""
    model, params = model_and_params()
    params = without_blocks(params, "encoder")
    pictures = as_float(tiny.images(1))
    # Row 1, column 2 of the 4 x 5 patches of 4 pixels.
    pair = np.concatenate([pictures, pictures])
    pair[1, 4:8, 8:12] += 0.3
    encode = tiny.jit(functools.partial(model.apply, method="encode_to_codes"))
    before, after = np.asarray(encode({"params": params}, pair))
    assert np.nonzero((before != after).any(-1))[0].tolist() == [7]


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_the_head_is_two_matrices_with_a_tanh_between(side):
    """And nothing after them."""
    model, params = model_and_params()
    params = without_blocks(params, side)[side]
    size = params["input"]["kernel"].shape[0]
    x = np.random.default_rng(0).normal(size=(2, model.num_tokens, size)).astype(np.float32)

    def run(module, x):
        return getattr(module, side)(x)

    found = tiny.jit(functools.partial(model.apply, method=run))({"params": {side: params}}, x)

    def linear(name, x):
        return x @ params[name]["kernel"] + params[name]["bias"]

    y = linear("input", x) + params["positions"]["table"]
    y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-6)
    y = y * params["norm"]["scale"] + params["norm"]["bias"]
    expected = linear("head_out", np.tanh(linear("head_in", y)))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_code_is_drawn_where_its_token_stands():
    """Tokens are in raster order, as patches are."""
    model, params = model_and_params()
    params = without_blocks(params, "decoder")
    tokens = tiny.pictures_tokens(1, model)
    pair = np.concatenate([tokens, tokens])
    pair[1, 7] = (pair[0, 7] + 1) % tiny.CODES

    def decode(module, tokens):
        return module.decode_codes(module.quantizer.lookup(tokens))

    before, after = np.asarray(
        tiny.jit(functools.partial(model.apply, method=decode))({"params": params}, pair)
    )
    changed = after != before
    rows, columns = np.nonzero(changed.any(-1))
    # Token 7 of a grid of 4 rows and 5 columns: row 1, column 2, patches of 4 pixels.
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 7, 8, 11)


def test_to_image_undoes_the_squeeze():
    model = tiny.tokenizer()
    x = jnp.linspace(0, 1, 16 * 16 * 3).reshape(1, 16, 16, 3)
    squeezed = (1 - 2 * LOGIT_LAPLACE_EPSILON) * x + LOGIT_LAPLACE_EPSILON
    mu = jnp.log(squeezed) - jnp.log1p(-squeezed)
    output = jnp.concatenate([mu, jnp.zeros_like(mu)], axis=-1)
    np.testing.assert_allclose(model.to_image(output), x, atol=1e-6)


@pytest.mark.parametrize(("kind", "channels"), [("rgb", 3), ("rgb_logit_laplace", 6)])
def test_raw_rgb_is_the_picture_without_a_sigmoid(kind, channels):
    """With a log-scale a channel beside it, or without."""
    model, params = model_and_params(output=kind)
    output, *_ = tiny.jit(model.apply)({"params": params}, as_float(tiny.images(1)))
    output = np.asarray(output)
    assert output.shape == (1, 16, 20, channels) and model.output_channels == channels
    assert output.min() < 0 and output.max() > 1  # as no sigmoid's
    np.testing.assert_array_equal(model.to_image(jnp.asarray(output)), output[..., :3])


def test_raw_rgb_has_the_distribution_of_the_sigmoid_that_gives_the_same_picture():
    sigmoid, raw = tiny.tokenizer(), tiny.tokenizer(output="rgb_logit_laplace")
    rng = np.random.default_rng(0)
    picture = jnp.asarray(rng.uniform(size=(1, 16, 16, 3)), jnp.float32)
    log_scale = jnp.asarray(rng.normal(size=picture.shape), jnp.float32)
    mu_and_scale = raw.to_logit_laplace(jnp.concatenate([picture, log_scale], axis=-1))
    np.testing.assert_allclose(sigmoid.to_image(mu_and_scale), picture, atol=1e-6)
    np.testing.assert_array_equal(mu_and_scale[..., 3:], log_scale)
    np.testing.assert_array_equal(sigmoid.to_logit_laplace(mu_and_scale), mu_and_scale)


def test_raw_rgb_outside_of_its_range_has_a_finite_distribution():
    model = tiny.tokenizer(output="rgb_logit_laplace")
    raw = jnp.asarray([-3.0, 0.0, 1.0, 7.0])[:, None, None, None] * jnp.ones((4, 1, 1, 6))
    mu = model.to_logit_laplace(raw)[:, 0, 0, 0]
    np.testing.assert_allclose(jax.nn.sigmoid(mu), [0.1, 0.1, 0.9, 0.9], rtol=1e-6)
    gradient = jax.grad(lambda raw: model.to_logit_laplace(raw)[..., :3].sum())(raw)
    assert np.isfinite(gradient).all() and (gradient[jnp.array([0, 3])] == 0).all()


def test_an_unknown_output_is_refused(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as outside of tests
    model = tiny.tokenizer(output="rgb_laplace")
    with pytest.raises(UserError, match="output is 'rgb_laplace'; make it one of logit_laplace, "):
        jax.eval_shape(model.init, jax.random.key(0), *tiny.inputs(model))


def test_positions_start_as_large_as_asked():
    model = tiny.tokenizer(position_stddev=3.0)

    @tiny.jit
    def tables():
        params = unbox(model.init(jax.random.key(0), *tiny.inputs(model))["params"])
        return [params[side]["positions"]["table"] for side in ("encoder", "decoder")]

    for table in tables():
        assert np.std(table) == pytest.approx(3.0, rel=0.2)
