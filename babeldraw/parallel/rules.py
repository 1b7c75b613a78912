"""THE table from logical axis names to mesh axes. Models name axes; only this file places them.

Weights are split over the widths of feed-forward and attention. In training, a layer's output
is split as well, over its embedding (`activation_embed`): the sum over `model` becomes a
ReduceScatter and an AllGather in place of an AllReduce, and what is kept for the backward pass
shrinks by the same factor. In sampling tensors are small and one AllReduce is faster.
"""

import contextlib
import math
from collections.abc import Iterator
from typing import Any, Literal

import jax
from flax import linen as nn
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Shaped

from babeldraw.errors import UserError

Axes = tuple[str | None, ...]
"""Logical names of an array's axes."""

Rules = tuple[tuple[str, str | tuple[str, ...] | None], ...]

Fsdp = bool | Literal["hybrid"]
"""Whether weights are split over devices that have other examples, see `training_rules`."""

_WEIGHTS: Rules = (
    ("mlp", "model"),  # [embed, mlp], [mlp, embed]
    ("heads", "model"),  # [embed, heads, head_dim], [heads, head_dim, embed]
    ("vocab", "model"),  # [embed, vocab]: softmax weights
    ("table_embed", "model"),  # [rows, table_embed]: embeddings
    ("embed", None),  # FSDP: over `data` or `model`
    ("norm", None),  # [norm]: scale and bias of layer norms, too small to be worth gathering
    ("head_dim", None),
    ("codebook", None),  # [codebook, code_dim]
    ("code_dim", None),
    ("patch", None),  # [patch, embed]
    ("position", None),  # [position, table_embed]
    ("rows", None),  # [rows, table_embed]
    ("rank", None),  # [embed, rank], [rank, heads, head_dim]: low-rank changes of a kernel
    ("conv_height", None),  # [conv_height, conv_width, conv_in, conv_out]: convolutions
    ("conv_width", None),
    ("conv_in", None),
    ("conv_out", None),
    ("layers", None),  # [layers, ...]: the leading axis of a stack
    ("rounds", None),  # [rounds, stages, ...]: the leading axes of a pipelined stack
    ("stages", "stage"),
)

_ACTIVATIONS: Rules = (
    # Outside the pipelines (embedding, softmax, loss, image tokenizer) stages are data parallel.
    ("batch", ("data", "stage")),
    ("length", None),
    ("activation_mlp", "model"),  # [batch, length, activation_mlp]
    ("activation_heads", "model"),  # [batch, length, activation_heads, head_dim]
    ("activation_vocab", "model"),  # [batch, length, activation_vocab]
)

TRAINING_RULES: Rules = (
    *_WEIGHTS,
    *_ACTIVATIONS,
    ("activation_embed", "model"),  # [batch, length, activation_embed]
)


def training_rules(fsdp: Fsdp = False) -> Rules:
    """The table for training.

    Args:
      fsdp: shard weights and optimizer state over `data` as well, each along its `embed` axis; a
        layer's weights are gathered when it runs. "hybrid": over `model` alone, which then splits
        the batch and no layer, so that every place along `data` has a copy: weights are gathered
        among neighbours, and gradients alone, each device's part, go further. Beyond the patent.
    """
    if fsdp == "hybrid":
        places: dict[str, Any] = dict.fromkeys(name for name, _ in TRAINING_RULES)
        places |= {"batch": ("data", "stage", "model"), "embed": "model", "stages": "stage"}
        return tuple(places.items())
    return _replace(TRAINING_RULES, "embed", "data") if fsdp else TRAINING_RULES


def pipeline_rules(rules: Rules) -> Rules:
    """The table inside a pipeline, whose dimensions of replicas and stages split the batch.

    The weights of a replica are whole.
    """
    return _replace(_replace(rules, "batch", None), "embed", None)


def _replace(rules: Rules, name: str, place: str | None) -> Rules:
    return tuple((rule, place if rule == name else where) for rule, where in rules)


@contextlib.contextmanager
def data_parallel(batch_size: int) -> Iterator[None]:
    """Within it all axes of the mesh split the batch and nothing else, where they divide it.

    For a frozen network, whole on every device: it then runs without a word between them.
    """
    mesh, rules = jax.sharding.get_abstract_mesh(), active_rules()
    if mesh.empty or batch_size % mesh.size:
        yield
        return
    # The axes that split it already come first: each part is cut where it lies.
    first = batch_axes(rules)
    names = (*first, *(name for name in mesh.axis_names if name not in first))
    alone: Rules = tuple((name, None) for name, _ in rules if name != "batch")
    with nn.logical_axis_rules((("batch", names), *alone)):
        yield


INFERENCE_RULES: Rules = (*_WEIGHTS, *_ACTIVATIONS, ("activation_embed", None))


def drawing_rules() -> Rules:
    """The table for drawing pictures: `INFERENCE_RULES`, or that of a training by hybrid FSDP.

    On the mesh of such a training, within its `placing`, `model` splits no layer.
    """
    rules = active_rules()
    return rules if dict(rules).get("embed") == "model" else INFERENCE_RULES


def active_rules() -> Rules:
    """The table that `placing` has set; empty outside of it."""
    return tuple((name, place) for name, place in nn.get_logical_axis_rules())


def batch_groups(mesh: Mesh) -> int:
    """Into how many parts pictures that are drawn together are split."""
    return math.prod(mesh.shape[name] for name in batch_axes(drawing_rules()))


@contextlib.contextmanager
def placing(mesh: Mesh, rules: Rules) -> Iterator[None]:
    """Within it, the logical names in a model mean places on `mesh`.

    `with mesh:` would not do: Flax reads the mesh of `jax.set_mesh` alone, and leaves every
    constraint out without it.
    """
    with jax.set_mesh(mesh), nn.logical_axis_rules(rules):
        yield


def with_logical_constraint(
    x: Shaped[Array, "*shape"], axes: tuple[str | None, ...]
) -> Shaped[Array, "*shape"]:
    """Places an activation by the names of its axes; Flax's, with types."""
    placed: jax.Array = nn.with_logical_constraint(x, axes)
    return placed


def batch_sharding(mesh: Mesh, rules: Rules = TRAINING_RULES) -> NamedSharding:
    """The placement of every array of a batch: split along its first axis."""
    return NamedSharding(mesh, _spec(("batch",), rules))


def batch_axes(rules: Rules) -> tuple[str, ...]:
    """The mesh axes that split a batch, the outermost first."""
    (place,) = _spec(("batch",), rules) or (None,)
    return (place,) if isinstance(place, str) else tuple(place or ())


def batch_shards() -> int:
    """Over how many places `placing` splits a batch; 1 outside of it."""
    mesh = jax.sharding.get_abstract_mesh()
    names = batch_axes(active_rules())
    return math.prod(mesh.shape.get(name, 1) for name in names)


def replicated(mesh: Mesh) -> NamedSharding:
    """A whole copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def variable_sharding(
    name: str, shape: tuple[int, ...], axes: tuple[str | None, ...], mesh: Mesh, rules: Rules
) -> NamedSharding:
    """Where one variable lives.

    Args:
      name: of the variable, for the error.
      shape: of the variable.
      axes: logical name of each of its axes; empty for a variable without names, which is
        then on every device.

    Raises:
      UserError: an axis name without a rule, or an axis that its mesh axis does not divide.
    """
    known = {rule[0] for rule in rules}
    for axis in axes:
        if axis is not None and axis not in known:
            raise UserError(
                f"The variable {name} has the logical axis {axis!r}, which has no line in "
                "babeldraw/parallel/rules.py: add one."
            )
    spec = _spec(axes, rules)
    for size, axis, mesh_axes in zip(shape, axes, spec, strict=False):
        names = (mesh_axes,) if isinstance(mesh_axes, str) else tuple(mesh_axes or ())
        parts = math.prod(mesh.shape[mesh_axis] for mesh_axis in names)
        if size % parts:
            raise UserError(
                f"The variable {name} {list(shape)} cannot be placed: its axis {axis!r} of {size} "
                f"does not divide by the {parts} devices of mesh axis {'/'.join(names)!r}; change "
                "`mesh` in the machine file."
            )
    return NamedSharding(mesh, spec)


def placed_by_names(boxes: Any, mesh: Mesh, rules: Rules) -> Any:
    """Where each array of a tree lives, by the names of its axes; boxes may be abstract."""

    def place(path: tuple[Any, ...], box: Any) -> NamedSharding:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        return variable_sharding(name, unbox(box).shape, logical_axes(box), mesh, rules)

    return jax.tree_util.tree_map_with_path(place, boxes, is_leaf=is_box)


def _spec(axes: Axes, rules: Rules) -> PartitionSpec:
    return nn.logical_to_mesh_axes(axes, rules) or PartitionSpec()


def logical_axes(variable: Any) -> tuple[str | None, ...]:
    """The names that a variable was boxed with, or `()`."""
    return tuple(variable.names) if is_box(variable) else ()


def layer_axes(variable: Any) -> int:
    """How many leading axes of a variable count layers: 1 of `layers`, 2 of `rounds, stages`."""
    return sum(axis in ("layers", "rounds", "stages") for axis in logical_axes(variable))


def in_sequence(params: Any, boxes: Any) -> Any:
    """Parameters as one device runs them: rounds and stages of a pipelined stack are its layers.

    Args:
      boxes: the same parameters in the boxes that hold the names of their axes. Traceable.
    """

    def flat(box: Any, array: Array) -> Array:
        return array.reshape(-1, *array.shape[2:]) if layer_axes(box) == 2 else array

    return jax.tree.map(flat, boxes, params, is_leaf=is_box)


def is_box(leaf: Any) -> bool:
    """Whether it is a variable in the box that holds its names."""
    return isinstance(leaf, nn.Partitioned)


def unbox(tree: Any) -> Any:
    """The tree with plain arrays in place of boxes, and no constraint applied to them."""
    return jax.tree.map(lambda leaf: leaf.value if is_box(leaf) else leaf, tree, is_leaf=is_box)
