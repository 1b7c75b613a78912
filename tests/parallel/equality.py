"""Loss and gradients of a tiny Transformer of stage 2 under any execution, mesh and rules.

Run as a program it compares the cases that need sixteen devices, and prints a line for each.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from babeldraw.parallel.execution import Execution
from babeldraw.parallel.mesh import make_mesh
from babeldraw.parallel.parts import mean_over_parts
from babeldraw.parallel.rules import logical_axes, placing, training_rules, variable_sharding
from babeldraw.parallel.schedule import Pipeline
from tests.models import tiny
from tests.objectives import tiny_runs

IN_ORDER = Execution()
SIZES = {"codebook_size": 16, "num_heads": 4, "head_dim": 4}  # divide by 4, for the axis `model`
BATCH = 16
KEY = 3  # of the step: dropout, left out conditions and token noise are all on

# Objective, rate of left out conditions, stacks and their layers.
KINDS = {
    "text": (tiny_runs.text_to_image, "prompt_dropout_rate", {"encoder": 4, "decoder": 8}),
    "class": (tiny_runs.image_tokens, "class_dropout_rate", {"decoder": 8}),
}


def objective(execution=IN_ORDER, kind="text", **settings):
    make, dropout, stacks = KINDS[kind]
    layers = {f"{side}_layers": count for side, count in stacks.items()}
    tiny_objective = make(**{dropout: 0.2}, token_noise_rate=0.1, **SIZES, **layers, **settings)
    return dataclasses.replace(tiny_objective, execution=execution)


def batch(kind="text"):
    tokens = tiny.pictures_tokens(BATCH, objective(kind=kind).model)
    if kind == "text":
        return {"text_tokens": tiny.prompts(BATCH), "image_tokens": tokens}
    classes = np.arange(BATCH, dtype=np.int32) % (tiny.CLASSES + 1) - 1  # -1: none
    return {"class_id": jnp.asarray(classes), "image_tokens": tokens}


def params(execution=IN_ORDER, kind="text"):
    """The same numbers in the shapes that `execution` stacks them in."""
    tree = tiny.random_params(objective(kind=kind).model)
    stacks = KINDS[kind][2]
    return _reshape(tree, {side: execution.stack_shape(count) for side, count in stacks.items()}, 1)


def _reshape(tree, shapes, axes):
    """Each stack's leading `axes` dimensions become `shapes[stack]`."""

    def reshape(leaf, shape):
        return leaf.reshape(*shape, *leaf.shape[axes:])

    return tree | {
        side: jax.tree.map(lambda leaf, shape=shape: reshape(leaf, shape), tree[side])
        for side, shape in shapes.items()
    }


def loss_and_gradients(execution=IN_ORDER, mesh_axes=None, fsdp=False, kind="text", **settings):
    """The step's loss, and its gradients in the shapes of layers in order."""
    run = objective(execution, kind, **settings)
    values, weights = batch(kind), params(execution, kind)

    def loss(weights, values):
        return run.train_loss(weights, {}, {}, values, jax.random.key(KEY), 0)[0]

    def summed(weights, values):
        differentiate = functools.partial(jax.value_and_grad(loss), weights)
        zeros = jax.tree.map(jnp.zeros_like, weights)
        return mean_over_parts(differentiate, values, execution.accumulate, zeros)

    step = tiny.jit(summed)
    if mesh_axes is None:
        value, gradients = step(weights, values)
    else:
        mesh = make_mesh(mesh_axes, jax.devices()[: math.prod(mesh_axes.values())])
        rules = training_rules(fsdp)
        inputs = tiny.inputs(run.model)
        boxed = jax.eval_shape(run.network.init, jax.random.key(0), *inputs)["params"]
        shardings = jax.tree.map(
            lambda leaf, box: variable_sharding("w", leaf.shape, logical_axes(box), mesh, rules),
            weights,
            boxed,
        )
        with placing(mesh, rules):
            value, gradients = step(jax.device_put(weights, shardings), values)
    gradients = jax.tree.map(np.asarray, gradients)
    if execution.pipeline is not None:
        shapes = {side: (count,) for side, count in KINDS[kind][2].items()}
        gradients = _reshape(gradients, shapes, 2)
    return float(value), gradients


@functools.cache
def single_device(kind="text"):
    """What every other execution must reach: one device, layers in order."""
    return loss_and_gradients(kind=kind)


def errors(value, gradients, expected=None):
    """Relative error of the loss, and the largest of any weight's gradient (Euclidean norm).

    `expected`: by default those of the text-to-image model on one device.
    """
    expected_value, expected_gradients = expected or single_device()

    def error(leaf, other):
        return float(np.linalg.norm(leaf - other) / np.linalg.norm(other))

    worst = max(jax.tree.leaves(jax.tree.map(error, gradients, expected_gradients)))
    return abs(value - expected_value) / abs(expected_value), worst


SIXTEEN = {
    "GPipe, 4 stages x 4 data": ({"data": 4, "stage": 4}, Pipeline(4, 4, 1), False),
    "circular, 2 rounds, 4 stages x 4 data": ({"data": 4, "stage": 4}, Pipeline(4, 4), False),
    "circular, 4 rounds, 2 stages x 4 data x 2 model": (
        {"data": 4, "stage": 2, "model": 2},
        Pipeline(2, 4),
        False,
    ),
    "circular, 2 stages x 4 data x 2 model, FSDP": (
        {"data": 4, "stage": 2, "model": 2},
        Pipeline(2, 2),
        True,
    ),
    "data 16": ({"data": 16}, None, False),
    "data 8 x model 2, FSDP": ({"data": 8, "model": 2}, None, True),
    "hybrid FSDP, 4 copies of 4": ({"data": 4, "model": 4}, None, "hybrid"),
}

if __name__ == "__main__":
    for name, (axes, pipeline, fsdp) in SIXTEEN.items():
        found = loss_and_gradients(Execution(pipeline=pipeline), axes, fsdp)
        print(name, *errors(*found), sep=";", flush=True)
