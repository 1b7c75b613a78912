"""Contract: whatever computes attention, a model's loss and gradients are the same."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.models import attention_paths, dense_attention, splash_attention
from babeldraw.models.attention_paths import over_all, over_grid, over_text
from babeldraw.models.block_attention import Blocks
from babeldraw.models.masks import GridMask
from babeldraw.models.splash_attention import Splash
from babeldraw.parallel.execution import Execution
from babeldraw.parallel.mesh import make_mesh
from babeldraw.parallel.rules import placing, replicated, training_rules
from babeldraw.parallel.schedule import Pipeline
from babeldraw.planning.topologies import find_topology, topology_devices
from tests.models import tiny
from tests.parallel import equality
from tests.quick import compiled_quickly  # noqa: F401

PUBLISHED = GridMask(32, 32, 11)
TEXT = jnp.ones((4, 1, 1, 128), bool)


@pytest.fixture
def interpreted(monkeypatch):
    monkeypatch.setattr(splash_attention, "_INTERPRET", True)


@pytest.mark.parametrize(
    ("grid", "taken"),
    [
        (PUBLISHED, Blocks),
        (GridMask(16, 16, 11), Blocks),
        (GridMask(8, 8, 11), jax.Array),  # the window is nearly the grid
        (GridMask(32, 32, None), jax.Array),
        (GridMask(32, 32, 11, wrap=True), jax.Array),
    ],
)
def test_unasked_blocks_are_taken_where_they_pay(grid, taken):
    assert isinstance(over_grid("auto", grid, 4, 2), taken)
    assert isinstance(over_grid("dense", grid, 4, 2), jax.Array)
    assert over_text("auto", TEXT, 2, 1024) is TEXT
    assert over_all("auto", 4, 2, 1024) is None


@pytest.mark.parametrize("path", ["auto", "splash"])
def test_where_the_kernel_runs_it_is_taken(path, monkeypatch, caplog):
    monkeypatch.setattr(splash_attention, "platform", lambda: "tpu")
    assert over_grid(path, PUBLISHED, 4, 2) == Splash(grid=PUBLISHED)
    assert isinstance(over_text(path, TEXT, 2, 1024), Splash)
    assert over_all(path, 4, 2, 1024) == Splash()
    small = over_grid(path, GridMask(8, 8, 3), 4, 2)
    assert isinstance(small, Splash) == (path == "splash")
    assert isinstance(over_grid("blocks", PUBLISHED, 4, 2), Blocks)
    assert over_text("blocks", TEXT, 2, 1024) is TEXT
    attention_paths._say_once.cache_clear()
    with placing(make_mesh({"data": 8}), training_rules()):
        for _ in range(2):
            assert isinstance(over_grid(path, PUBLISHED, 4, 2), Blocks)
            assert over_text(path, TEXT, 2, 1024) is TEXT
    assert caplog.text.count("does not divide a batch of 4 and 2 heads evenly") == 1


def test_what_cannot_be_is_refused_in_a_sentence():
    sentence = "splash runs on TPUs, and this mesh is of cpu devices; set attention to 'auto'"
    with placing(make_mesh({"data": 8}), training_rules()):
        for ask in (
            lambda: over_grid("splash", PUBLISHED, 8, 2),
            lambda: over_text("splash", TEXT, 2, 1024),
            lambda: over_all("splash", 8, 2, 1024),
        ):
            with pytest.raises(UserError, match=sentence):
                ask()
    for grid in (GridMask(8, 8, None), GridMask(8, 8, 3, wrap=True)):
        with pytest.raises(UserError, match="blocks needs a conv-shaped mask without wrap"):
            over_grid("blocks", grid, 4, 2)


def test_scores_are_not_rounded_before_the_softmax():
    query, keys = jnp.ones((1, 8), jnp.bfloat16), jnp.ones((2, 8), jnp.bfloat16) * 8
    keys = keys.at[1, 0].set(8.0625)  # scores 64 and 64.0625, which bfloat16 cannot tell apart
    values = jnp.asarray([[0.0] * 8, [1.0] * 8], jnp.bfloat16)
    found = dense_attention.attend(query, keys, values)
    np.testing.assert_allclose(np.float32(found), jax.nn.sigmoid(0.0625), rtol=2**-8)


def test_logits_are_the_same_by_every_path(interpreted):
    model = tiny.transformer(encoder_layers=1, decoder_layers=1)
    weights, text = tiny.random_params(model), tiny.prompts(2).at[1].set(0)
    tokens = tiny.pictures_tokens(2, model)

    def logits(path):
        network = model.clone(execution=Execution(attention=path))
        return tiny.jit(network.apply)({"params": weights}, text, tokens)

    expected = logits("dense")
    for path in ("blocks", "splash"):
        np.testing.assert_allclose(logits(path), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["blocks", "splash"])
def test_loss_and_gradients_are_the_same_by_every_path(path, interpreted):
    settings = {"encoder_layers": 1, "decoder_layers": 1, "dropout_rate": 0.2}
    model = tiny.transformer(**settings)
    weights, text, keys = tiny.random_params(model), tiny.prompts(2).at[1].set(0), tiny.keys(2)
    tokens = tiny.pictures_tokens(2, model)

    def run(path):
        network = model.clone(execution=Execution(attention=path))

        def loss(weights):
            logits = network.apply({"params": weights}, text, tokens, keys)
            chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), tokens[..., None], axis=-1)
            return -jnp.mean(chosen)

        return tiny.jit(jax.value_and_grad(loss))(weights)

    value, gradient = equality.errors(*run(path), run("dense"))
    assert value < 1e-6 and gradient < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("axes", "settings"),
    [
        ({"data": 2, "model": 4}, {"remat": "full"}),
        ({"data": 2, "model": 4}, {"remat": "attention"}),
        ({"data": 2, "stage": 2, "model": 2}, {"pipeline": Pipeline(2, 4), "remat": "full"}),
    ],
)
@pytest.mark.parametrize("path", ["blocks", "splash"])
def test_loss_and_gradients_are_the_same_on_any_mesh(path, axes, settings, interpreted):
    execution = Execution(attention=path, **settings)
    found = equality.loss_and_gradients(execution, axes)
    value, gradient = equality.errors(*found, dense())
    assert value < 1e-6 and gradient < 1e-5


@functools.cache
def dense():
    return equality.loss_and_gradients(Execution(attention="dense"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["v4:2x2x1", "v5e:2x2", "v5p:2x2x1", "v6e:2x2", "tpu7x:2x2x1"])
@pytest.mark.parametrize(
    "mesh_axes, pipeline",
    [({"data": -1, "model": 2}, None), ({"data": -1, "stage": 2}, Pipeline(2, 2))],
)
def test_it_compiles_for_every_tpu(name, mesh_axes, pipeline):
    """In scanned, rematerialised layers of a step that is traced on a host without a TPU."""
    execution = Execution(remat="full", pipeline=pipeline)
    sizes = {"rows": 16, "columns": 16, "attention_kernel": 11, "text_length": 128}
    model = tiny.transformer(
        d_model=128, head_dim=64, dtype=jnp.bfloat16, dropout_rate=0.1, execution=execution, **sizes
    )
    mesh = make_mesh(mesh_axes, topology_devices(find_topology(name)))

    def loss(weights, text, tokens, keys):
        return model.apply({"params": weights}, text, tokens, keys).sum()

    arrays = [jax.ShapeDtypeStruct((8, length), jnp.int32) for length in (128, 256)]
    arguments = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=replicated(mesh)),
        (jax.eval_shape(lambda: tiny.random_params(model)), *arrays, tiny.keys(8)),
    )
    with placing(mesh, training_rules()):
        text = jax.jit(jax.grad(loss)).lower(*arguments).compile().as_text()
    for kernel in ("fwd_residuals", "fwd_segmented_residuals", "dq_no", "dkv_no"):
        assert f"splash_mha_{kernel}" in text, kernel
