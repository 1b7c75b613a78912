"""What devices exchange in a decoder layer and its backward pass, as numbers of exchanges."""

import collections
import math

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn
from jax.sharding import NamedSharding

from babeldraw.models.transformer import Stack, TransformerLayer
from babeldraw.parallel.execution import Execution
from babeldraw.parallel.mesh import make_mesh
from babeldraw.parallel.rules import is_box, placing, training_rules, variable_sharding
from babeldraw.planning import hlo
from babeldraw.planning.collectives import SLICES, find_collectives
from babeldraw.planning.topologies import find_topology, topology_devices

pytestmark = pytest.mark.slow  # compiling for TPUs

BATCH, LENGTH, TEXT, WIDTH, LAYERS = 16, 256, 64, 512, 4


def exchanges(axes, fsdp, remat, slices="v5e:2x2"):
    """Collectives in the loops over layers, of the loss' gradient on four chips a slice."""
    topology = find_topology(slices)
    mesh = make_mesh(axes, topology_devices(topology))
    layer = TransformerLayer(
        WIDTH, 8, 64, 4 * WIDTH, with_cross_attention=True, dtype=jnp.bfloat16, parent=None
    )
    stack = Stack(layer, LAYERS, Execution(remat=remat))
    rules = training_rules(fsdp)

    def array(length):
        axes = ("batch", None, "activation_embed")
        sharding = NamedSharding(mesh, nn.logical_to_mesh_axes(axes, rules))
        return jax.ShapeDtypeStruct((BATCH, length, WIDTH), jnp.bfloat16, sharding=sharding)

    def loss(params, x, text):
        y = stack.apply({"params": params}, x, {"encoded": text})
        return jnp.sum(jnp.square(y.astype(jnp.float32)))

    def init(x, text):  # The key is made inside: the mesh is of absent devices.
        return stack.init(jax.random.key(0), x, {"encoded": text})["params"]

    with placing(mesh, rules):
        x, text = array(LENGTH), array(TEXT)
        boxes = jax.eval_shape(init, x, text)

        def place(box):
            sharding = variable_sharding("", box.value.shape, box.names, mesh, rules)
            return jax.ShapeDtypeStruct(box.value.shape, box.value.dtype, sharding=sharding)

        params = jax.tree.map(place, boxes, is_leaf=is_box)
        shardings = jax.tree.map(lambda leaf: leaf.sharding, params)
        gradient = jax.jit(
            jax.grad(loss, (0, 1, 2)), out_shardings=(shardings, x.sharding, text.sharding)
        )
        compiled = gradient.lower(params, x, text).compile()
    within = axes | {"data": axes["data"] // topology.num_slices}
    return find_collectives(hlo.Program(compiled.as_text()), within)


def counted(rows, shape=None):
    """(kind, pass) -> how many in a layer; sums are what is reduced, scattered or not."""
    found = collections.Counter()
    for row in rows:
        if shape is None or row.shape == shape:
            kind = "gathers" if row.kind == "all-gather" else "sums"
            backward = row.loop is not None and "transpose" in row.loop
            found[kind, "backward" if backward else "forward"] += row.count
    return found


def test_in_layer_parallelism_gathers_and_sums_an_activation_once_for_all_who_read_it():
    """Gathers in the backward pass were 11, of which 5 for the weights' gradients alone."""
    rows = exchanges({"data": 1, "model": 4}, fsdp=False, remat="attention")
    activations = [row for row in rows if row.shape[-1:] == (WIDTH,) and row.dtype == "bf16"]
    found = counted(activations, (BATCH, LENGTH, WIDTH))
    assert found == {
        ("gathers", "forward"): 3,  # what attention, cross-attention and MLP read
        ("gathers", "backward"): 3 + 3,  # that again, and the gradient of what they add
        ("sums", "forward"): 3,
        ("sums", "backward"): 3 + 1,  # and what cross-attention adds, again
    }
    assert counted(activations, (BATCH, TEXT, WIDTH))["gathers", "backward"] == 1
    assert not [row for row in rows if row.dtype == "f32" and math.prod(row.shape) > BATCH * LENGTH]


def test_fsdp_gathers_a_weight_once_a_pass_in_half_the_bytes_and_scatters_its_gradient():
    rows = exchanges({"data": 4, "model": 1}, fsdp=True, remat="full")
    weights = [row for row in rows if math.prod(row.shape) >= WIDTH**2]
    gathers = [row for row in weights if row.kind == "all-gather"]
    assert {row.dtype for row in gathers} == {"bf16"}
    assert counted(gathers) == {("gathers", "forward"): 10, ("gathers", "backward"): 10}
    sums = [row for row in weights if row.kind != "all-gather"]
    assert {(row.kind, row.dtype) for row in sums} == {("reduce-scatter", "f32")}
    assert counted(sums) == {("sums", "backward"): 10}


@pytest.mark.parametrize("slices", ["v5e:2x2", "2xv5e:2x2"])
def test_hybrid_fsdp_sends_each_devices_part_alone_beyond_its_copy(slices):
    """A ReduceScatter in a copy's devices, and an AllReduce of a part over the copies: of two
    slices it goes through their hosts, and nothing else does."""
    copies, several = 2, slices != "v5e:2x2"
    axes = {"data": copies, "model": 4 if several else 2}
    rows = exchanges(axes, fsdp="hybrid", remat="full", slices=slices)
    far = SLICES if several else "data"
    weights = [row for row in rows if math.prod(row.shape) >= WIDTH**2 // axes["model"]]
    gathers = [row for row in weights if row.kind == "all-gather"]
    assert {(row.dtype, row.axes) for row in gathers} == {("bf16", ("model",))}
    # Of two slices the first turn of the backward pass stands before its loop.
    assert sum(row.times for row in gathers) == 2 * 10 * LAYERS
    sums = [row for row in weights if row.kind != "all-gather"]
    times, elements = collections.Counter(), collections.Counter()
    for row in sums:
        assert row.dtype == "f32"
        times[row.kind, row.axes] += row.times
        elements[row.kind] += row.times * math.prod(row.shape)
    assert times == {
        ("reduce-scatter", ("model",)): 10 * LAYERS,
        ("all-reduce", (far,)): 10 * LAYERS,
    }
    assert elements["reduce-scatter"] == axes["model"] * elements["all-reduce"]
    if several:
        assert {row.kind for row in rows if row.axes == (SLICES,)} == {"all-reduce"}
