"""Contract: with weights of one byte a model is off by what they are rounded by, and no more."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from babeldraw.models import int8
from babeldraw.models.int8 import Quantized
from babeldraw.parallel.execution import Execution
from babeldraw.parallel.mesh import make_mesh
from babeldraw.sampling.decoder import CachedDecoder
from babeldraw.sampling.pictures import Sampler
from babeldraw.sampling.schedule import make_schedule
from tests.models import tiny

TEXTS = tiny.transformer(decoder_inputs="row_start_above")
CLASSES = tiny.image_decoder()


def leaves(params):
    is_leaf = lambda value: isinstance(value, Quantized)  # noqa: E731
    named = jax.tree_util.tree_leaves_with_path(params, is_leaf=is_leaf)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in named}


def dequantized(params):
    is_leaf = lambda value: isinstance(value, Quantized)  # noqa: E731
    return jax.tree.map(
        lambda one: one.values * one.scale if is_leaf(one) else one, params, is_leaf=is_leaf
    )


@pytest.mark.parametrize("model", [TEXTS, CLASSES], ids=["texts", "classes"])
def test_every_kernel_and_nothing_else_is_off_by_half_a_scale_at_most(model):
    params = tiny.random_params(model)
    rounded = leaves(int8.quantize(params))
    for name, weight in leaves(params).items():
        found = rounded[name]
        if not name.endswith("/kernel"):
            np.testing.assert_array_equal(found, weight)
            continue
        assert found.values.dtype == jnp.int8 and found.values.shape == weight.shape
        assert (np.abs(found.values * found.scale - weight) <= found.scale / 2 + 1e-9).all()
        # One scale an output channel, of each layer.
        heads = name.split("/")[-2] in ("query", "key", "value")
        out = weight.shape[-2:] if heads else weight.shape[-1:]
        layers = weight.shape[0] if "/layers/" in name else 1
        assert found.scale.size == layers * np.prod(out), name
        inputs = tuple(axis for axis, n in enumerate(found.scale.shape) if n == 1)
        assert (np.abs(found.values).max(axis=inputs) == 127).all()


def logits(model, params):
    prompts = tiny.prompts(2) if model is TEXTS else jnp.array([1, 0])
    decoder = CachedDecoder(model, params)
    read = decoder.read(prompts[:, None], with_unconditional=True)
    caches = decoder.empty_caches(2 * read.num_branches, make_schedule(model).capacity)
    tokens = jnp.zeros((2, model.num_tokens), jnp.int32)
    here = jnp.arange(1)
    visible = jnp.arange(make_schedule(model).capacity)[None] == 0
    return decoder.step(read, tokens, here, here, visible, caches)[0]


@pytest.mark.parametrize("model", [TEXTS, CLASSES], ids=["texts", "classes"])
def test_it_is_the_model_whose_weights_are_so_rounded(model):
    params = tiny.random_params(model)
    rounded = int8.quantize(params)
    found = jax.jit(lambda params: logits(model, params))(rounded)
    expected = logits(model, dequantized(rounded))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert (np.abs(found - logits(model, params)) > 1e-4).any()


def test_the_encoder_runs_its_layers_one_by_one_or_written_out():
    params = int8.quantize(tiny.random_params(TEXTS))
    values, scales = int8.split(params)
    text = tiny.prompts(2)
    plain = dequantized(params)
    for unroll in (False, True):
        execution = Execution(unroll=unroll)
        model = tiny.transformer(decoder_inputs="row_start_above", execution=execution)
        found, _ = model.apply({"params": values, int8.SCALES: scales}, text, method="encode")
        expected, _ = model.apply({"params": plain}, text, method="encode")
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_sampler_draws_with_them_and_holds_a_quarter_of_the_bytes():
    tokenizer = tiny.tokenizer()
    params = tiny.random_params(TEXTS)
    plain = Sampler(TEXTS, params, tokenizer, tiny.random_params(tokenizer, seed=1))
    small = plain.as_int8()
    prompts = np.asarray(tiny.prompts(2))
    rounded = Sampler(TEXTS, dequantized(small.params), tokenizer, plain.tokenizer_params)
    np.testing.assert_array_equal(
        small.generate(prompts, num_samples=3).tokens,
        rounded.generate(prompts, num_samples=3).tokens,
    )
    kernels = [name for name in leaves(params) if name.endswith("/kernel")]
    before = sum(leaves(params)[name].nbytes for name in kernels)
    assert sum(leaves(small.params)[name].values.nbytes for name in kernels) * 4 == before


def test_they_stay_where_the_kernel_lies():
    mesh = make_mesh({"data": 1, "stage": 1, "model": 2}, jax.devices()[:2])
    where = NamedSharding(mesh, PartitionSpec(None, "model"))
    kernel = jax.device_put(np.arange(12.0, dtype=np.float32).reshape(3, 4), where)
    for given in (kernel, jax.ShapeDtypeStruct((3, 4), jnp.float32, sharding=where)):
        values, scale = int8.quantize({"wi": {"kernel": given}})["wi"]["kernel"]
        assert values.shape == (3, 4) and scale.shape == (1, 4)
        assert values.sharding.is_equivalent_to(where, 2)
        assert scale.sharding.is_equivalent_to(where, 2)
    across = NamedSharding(mesh, PartitionSpec("model", None))
    whole = NamedSharding(mesh, PartitionSpec(None, None))
    kernel = jax.device_put(np.ones((4, 3), np.float32), across)
    values, scale = int8.quantize({"wo": {"kernel": kernel}})["wo"]["kernel"]
    assert values.sharding.is_equivalent_to(across, 2) and scale.sharding.is_equivalent_to(whole, 2)
