"""Names of axes as T5X reads them, and our table of places for its mesh."""

from collections.abc import Sequence
from typing import Any

import jax
from flax.linen import partitioning
from jax.sharding import PartitionSpec

from babeldraw.parallel.rules import Rules, is_box, logical_axes, training_rules
from babeldraw.training.state import owned_axes, variable_name

MESH_AXES = ("data", "model")
"""Of `PjitPartitioner`; with several slices it puts `replica` before them by itself."""


def axis_rules(fsdp: bool = False) -> Rules:
    """The table of `parallel.rules` for a mesh without stages: that is `logical_axis_rules`.

    Args:
      fsdp: see `parallel.rules.training_rules`; T5X calls it two-dimensional parameters.
    """
    return tuple((name, _on_mesh(where)) for name, where in training_rules(fsdp))


def _on_mesh(where: str | Sequence[str] | None) -> str | None:
    names = (where,) if isinstance(where, str) else tuple(where or ())
    left = [name for name in names if name in MESH_AXES]
    assert len(left) <= 1, where  # Of several only `batch` is split, over data and stages.
    return left[0] if left else None


def params_axes(boxes: Any) -> dict[str, Any]:
    """The collection `params_axes` that T5X asks of a model, with a leaf `NAME_axes` a parameter.

    Args:
      boxes: the parameters in the boxes that hold the names of their axes; may be abstract.
    """
    axes: dict[str, Any] = {}
    for name, inside in boxes.items():
        if is_box(inside):
            spec = PartitionSpec(*logical_axes(inside))
            axes[f"{name}_axes"] = partitioning.AxisMetadata(names=spec)
        else:
            axes[name] = params_axes(inside)
    return axes


def state_axes(boxes: Any, state: Any) -> dict[str, PartitionSpec]:
    """The axes of each array of an optimizer's state, as `training.state` has them.

    What is whole on every device has none. (With None in its place T5X would restore it in the
    parameters' dtype, and so make a float of a count.)

    Args:
      boxes: see `params_axes`.
      state: the state, or its abstract form.

    Returns:
      By the names of the arrays.
    """
    owners = {
        variable_name(path): (tuple(box.value.shape), logical_axes(box))
        for path, box in jax.tree_util.tree_leaves_with_path(boxes, is_leaf=is_box)
    }
    axes: dict[str, PartitionSpec] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        name = variable_name(path)
        axes[name] = PartitionSpec(*owned_axes(name, leaf.shape, owners))
    return axes
