"""Contract: a run draws the same on any mesh, from weights that were restored straight onto it."""

import json
import math

import jax
import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.parallel.execution import Execution
from babeldraw.parallel.mesh import make_mesh
from babeldraw.parallel.rules import training_rules
from babeldraw.parallel.schedule import Pipeline
from babeldraw.training.keeping import checkpoint_files
from babeldraw.training.keeping.checkpoints import load_networks, save_constants
from babeldraw.training.keeping.placing import place_networks
from babeldraw.training.keeping.saving import Checkpoints
from babeldraw.training.state import TrainState, describe_params
from tests.models import tiny
from tests.objectives import tiny_runs

pytestmark = pytest.mark.optimised

OBJECTIVE = tiny_runs.text_to_image(
    codebook_size=16, num_heads=4, head_dim=4, encoder_layers=2, decoder_layers=4
)
MESHES = {"2 x 4 in-layer": {"data": 2, "model": 4}, "8-way data": {"data": 8}}
ONE = {"data": 1}


def mesh_of(axes):
    return make_mesh(axes, jax.devices()[: math.prod(axes.values())])


def write(directory, execution):
    """A checkpoint of noise, as a run on such a machine writes it."""
    objective = OBJECTIVE.with_execution(execution)
    mesh = mesh_of({"stage": execution.pipeline.stages if execution.pipeline else 1})
    variables = describe_params(objective, mesh, training_rules())
    params = tiny.random_params(objective.model)
    for side in ("encoder", "decoder"):
        layers = len(jax.tree.leaves(params[side])[0])
        shape = execution.stack_shape(layers)
        params[side] = jax.tree.map(lambda x, s=shape: x.reshape(*s, *x.shape[1:]), params[side])
    state = TrainState(np.int32(3), {"text_to_image": params}, {"none": np.zeros(1)})
    checkpoints = Checkpoints(str(directory), keep=1, seed=0, variables=variables)
    checkpoints.save(3, state)
    checkpoints.close()
    save_constants(str(directory), OBJECTIVE.constants())
    return str(directory)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Of two stages that go round twice: stacks of [rounds, layers a round, ...]."""
    return write(tmp_path_factory.mktemp("run"), Execution(pipeline=Pipeline(2, 2)))


def draw(run, axes, **settings):
    networks = place_networks(run, OBJECTIVE, mesh_of(axes))
    sampler = OBJECTIVE.sampler(networks, guidance_weight=(1.5,), batch_size=5, **settings)
    return sampler.generate(np.asarray(tiny.prompts(3)), num_samples=4, seed=7)


@pytest.fixture(scope="module")
def on_one(run):
    return draw(run, ONE)


@pytest.mark.parametrize("axes", MESHES.values(), ids=MESHES)
def test_same_tokens_and_pictures_on_any_mesh(run, on_one, axes):
    found = draw(run, axes)
    np.testing.assert_array_equal(found.tokens, on_one.tokens)
    np.testing.assert_array_equal(found.images, on_one.images)
    np.testing.assert_allclose(found.scores, on_one.scores, rtol=1e-5)
    assert len({tokens.tobytes() for tokens in found.tokens.reshape(12, -1)}) == 12


@pytest.mark.parametrize("axes", [ONE, *MESHES.values()], ids=["one", *MESHES])
def test_weights_lie_as_the_inference_rules_say(run, axes, monkeypatch):
    expected = load_networks(run)
    whole = []
    read = checkpoint_files.read_tree
    monkeypatch.setattr(
        checkpoint_files, "read_tree", lambda path: whole.append(path.name) or read(path)
    )
    mesh = mesh_of(axes)
    networks = place_networks(run, OBJECTIVE, mesh)
    assert whole == ["constants"]  # The frozen networks alone are read whole.
    jax.tree.map(np.testing.assert_array_equal, networks, expected)
    assert {leaf.sharding.mesh for leaf in jax.tree.leaves(networks)} == {mesh}
    kernel = networks["text_to_image"]["decoder"]["layers"]["mlp"]["wi"]["kernel"]
    layers, embed, mlp = kernel.shape
    part = (layers, embed, mlp // axes.get("model", 1))
    assert {shard.data.shape for shard in kernel.addressable_shards} == {part}
    frozen = jax.tree.leaves(networks["tokenizer"])
    assert all(leaf.is_fully_replicated for leaf in frozen)


def test_weights_are_placed_once(run, monkeypatch):
    networks = place_networks(run, OBJECTIVE, mesh_of(MESHES["2 x 4 in-layer"]))
    sampler = OBJECTIVE.sampler(networks, batch_size=4)
    monkeypatch.setattr(jax, "device_put", lambda *arguments: pytest.fail("copied again"))
    (params, frozen) = sampler._on_mesh
    for ours, theirs in ((params, sampler.params), (frozen, sampler.tokenizer_params)):
        assert all(map(lambda a, b: a is b, jax.tree.leaves(ours), jax.tree.leaves(theirs)))


def test_damage_is_found_on_the_devices(tmp_path):
    directory = write(tmp_path / "run", Execution())
    path = tmp_path / "run" / "checkpoints" / "3" / "run" / "metadata"
    written = json.loads(path.read_text())
    name = "params/text_to_image/logits/kernel"
    written["fingerprints"][name] += 1
    path.write_text(json.dumps(written))
    with pytest.raises(UserError, match=f"damaged .{name} is not what was saved"):
        place_networks(directory, OBJECTIVE, mesh_of(ONE))


def test_mistakes_are_one_sentence(run):
    other = tiny_runs.text_to_image(codebook_size=16, num_heads=4, head_dim=4, decoder_layers=3)
    with pytest.raises(UserError, match="is of another recipe: its params/text_to_image"):
        place_networks(run, other, mesh_of(ONE))
    with pytest.raises(UserError, match="does not divide by the 8 devices of mesh axis 'model'"):
        place_networks(run, OBJECTIVE, mesh_of({"model": 8}))
