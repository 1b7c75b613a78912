import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn
from jax.sharding import PartitionSpec

from babeldraw.errors import UserError
from babeldraw.parallel import rules
from babeldraw.parallel.mesh import AXES, make_mesh

WEIGHTS = [
    *("embed", "norm", "mlp", "heads", "head_dim", "vocab", "codebook", "code_dim"),
    *("patch", "position", "layers", "rounds", "stages", "rows", "rank", "table_embed"),
    *("conv_height", "conv_width", "conv_in", "conv_out"),
]
ACTIVATIONS = ["batch", "length"] + [
    f"activation_{name}" for name in ("embed", "mlp", "heads", "vocab")
]


@pytest.mark.parametrize("table", [rules.TRAINING_RULES, rules.INFERENCE_RULES])
def test_every_name_has_one_line(table):
    assert sorted(name for name, _ in table) == sorted(WEIGHTS + ACTIVATIONS)
    places = [axis if isinstance(axis, tuple) else (axis,) for _, axis in table]
    assert {axis for axes in places for axis in axes} <= {None, *AXES}


def test_training_splits_outputs_and_sampling_does_not():
    names = ("batch", "length", "activation_embed")
    assert nn.logical_to_mesh_axes(names, rules.TRAINING_RULES) == PartitionSpec(
        ("data", "stage"), None, "model"
    )
    assert nn.logical_to_mesh_axes(names, rules.INFERENCE_RULES) == PartitionSpec(
        ("data", "stage"), None, None
    )


def test_inside_a_pipeline_the_batch_is_split_already():
    inside = rules.pipeline_rules(rules.TRAINING_RULES)
    assert nn.logical_to_mesh_axes(("stages", "batch", "length"), inside) == PartitionSpec(
        "stage", None, None
    )


def test_fsdp_leaves_norms_whole():
    assert nn.logical_to_mesh_axes(("layers", "norm"), rules.training_rules(fsdp=True)) == (
        PartitionSpec(None, None)
    )


def test_fsdp_splits_each_weight_over_data_as_well():
    assert rules.training_rules() == rules.TRAINING_RULES
    mesh = make_mesh({"data": 2, "model": 4})
    names = ("layers", "embed", "heads", "head_dim")
    sharding = rules.variable_sharding("k", (3, 8, 4, 5), names, mesh, rules.training_rules(True))
    assert sharding.shard_shape((3, 8, 4, 5)) == (3, 4, 1, 5)


def test_hybrid_fsdp_splits_each_weight_over_model_alone_and_the_batch_over_all():
    table = rules.training_rules("hybrid")
    assert [name for name, _ in table] == [name for name, _ in rules.TRAINING_RULES]
    mesh = make_mesh({"data": 2, "model": 4})
    names = ("layers", "embed", "heads", "head_dim")
    sharding = rules.variable_sharding("k", (3, 8, 4, 5), names, mesh, table)
    assert sharding.shard_shape((3, 8, 4, 5)) == (3, 2, 4, 5)
    assert rules.batch_sharding(mesh, table).shard_shape((16, 3)) == (2, 3)
    assert rules.batch_axes(table) == AXES
    assert nn.logical_to_mesh_axes(("norm", "activation_embed"), table) == PartitionSpec(None, None)


def test_variable_sharding_follows_the_names():
    mesh = make_mesh({"data": 2, "model": 4})
    sharding = rules.variable_sharding("k", (8, 16), ("embed", "mlp"), mesh, rules.TRAINING_RULES)
    assert sharding.spec == PartitionSpec(None, "model")
    assert sharding.shard_shape((8, 16)) == (8, 4)
    unnamed = rules.variable_sharding("k", (8, 16), (), mesh, rules.TRAINING_RULES)
    assert unnamed.is_fully_replicated


@pytest.mark.parametrize(
    ("axes", "sentence"),
    [
        (("embed", "mlp"), r"k \[8, 10\] cannot be placed: its axis 'mlp' of 10 .* the 4 devices"),
        (("embed", "moon"), "logical axis 'moon', which has no line"),
    ],
)
def test_a_variable_that_cannot_be_placed(axes, sentence):
    mesh = make_mesh({"data": 2, "model": 4})
    with pytest.raises(UserError, match=sentence):
        rules.variable_sharding("k", (8, 10), axes, mesh, rules.TRAINING_RULES)


def test_unbox_and_names():
    boxed = {"a": nn.LogicallyPartitioned(jnp.ones(3), ("embed",)), "b": jnp.zeros(2)}
    plain = rules.unbox(boxed)
    assert all(isinstance(leaf, jax.Array) for leaf in plain.values())
    assert rules.logical_axes(boxed["a"]) == ("embed",)
    assert rules.logical_axes(boxed["b"]) == ()


def test_a_pipelined_stack_is_put_in_sequence():
    boxes = {
        "stack": nn.Partitioned(jnp.zeros((2, 3, 5)), ("rounds", "stages", "embed")),
        "rest": nn.Partitioned(jnp.zeros((2, 5)), ("layers", "embed")),
    }
    params = {"stack": jnp.arange(30.0).reshape(2, 3, 5), "rest": jnp.ones((2, 5))}
    flat = rules.in_sequence(params, boxes)
    assert (flat["stack"] == jnp.arange(30.0).reshape(6, 5)).all()
    assert flat["rest"].shape == (2, 5)
