"""How a step runs: in how many parts, and its stacks of layers: pipelined or not, rematerialised.

A stack is one function of one layer and its weights, stacked along leading axes. The model
says what a layer computes; the machine file says how the stack is executed. Parameters and
numbers are the same under every setting, to the rounding of float sums.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from babeldraw.parallel.pipeline import run_pipeline
from babeldraw.parallel.schedule import Pipeline

LayerFn = Callable[[Any, jax.Array, Any, jax.Array], jax.Array]
"""`layer_fn(layer_params, x, shared, layer_index) -> x`.

`x` is `[batch, ...]`; `shared` is a pytree of `[batch, ...]` leaves that every layer reads and
none changes (encoded text, masks, dropout keys), so that a scan keeps one copy of it.
"""

Remat = Literal["none", "dots", "attention", "full"]

AttentionPath = Literal["auto", "dense", "blocks", "splash"]

SELF_ATTENTION_OUTPUT = "self_attention_output"
"""What the models name (`checkpoint_name`) for the policy `attention`."""

_REMAT_POLICIES: dict[Remat, Any] = {
    # Recompute everything in a layer from its input.
    "full": jax.checkpoint_policies.nothing_saveable,
    # Keep what self-attention adds to the residual stream: no larger than a layer's input, and its
    # sum over the devices of `model` is not sent a second time.
    "attention": jax.checkpoint_policies.save_only_these_names(SELF_ATTENTION_OUTPUT),
    # Keep the outputs of matrix products with weights; recompute the cheap rest.
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}


def _stage_dots_saveable(prim: Any, *_: Any, **params: Any) -> bool:
    """`dots` where every product has two batch dimensions more, replicas and stages."""
    if prim is not jax.lax.dot_general_p:
        return False
    _, (batch_dimensions, _) = params["dimension_numbers"]
    return len(batch_dimensions) <= 2


_PIPELINE_REMAT_POLICIES: dict[Remat, Any] = _REMAT_POLICIES | {"dots": _stage_dots_saveable}


@dataclasses.dataclass(frozen=True)
class Execution:
    """Settings of a machine, never of a recipe.

    Attributes:
      remat: what the backward pass recomputes: `none`, `dots` (all but matrix products with
        weights), `attention` (all but the outputs of self-attention) or `full` (all of a layer).
      unroll: write the layers out one after another instead of `lax.scan`. Faster on CPU,
        where a scan copies its stacked weights; slower to compile for deep models.
      pipeline: cut the stack into stages; None: all layers run one after another.
      attention: how attention over whole sequences is computed: `dense`; `blocks`, which skip most
        of what a conv-shaped mask forbids (see `models.block_attention`); `splash`, a kernel of
        TPUs (see `models.splash_attention`); or `auto`, the best of them in each place (see
        `models.attention_paths`).
      accumulate: parts of a step's batch that follow one another, see `parallel.parts`.
    """

    remat: Remat = "none"
    unroll: bool = False
    pipeline: Pipeline | None = None
    attention: AttentionPath = "auto"
    accumulate: int = 1

    def __post_init__(self) -> None:
        if self.attention not in get_args(AttentionPath):
            raise ValueError(
                f"attention must be auto, dense, blocks or splash, not {self.attention!r}."
            )
        if self.remat != "none" and self.remat not in _REMAT_POLICIES:
            raise ValueError(f"remat must be none, dots, attention or full, not {self.remat!r}.")

    @property
    def sequential(self) -> "Execution":
        """The same without a pipeline, for networks that are data parallel over the stages."""
        return dataclasses.replace(self, pipeline=None)

    def stack_shape(self, num_layers: int) -> tuple[int, ...]:
        """Leading dimensions of a stack's weights: `[layers]`, or `[rounds, layers a round]`."""
        if self.pipeline is None:
            return (num_layers,)
        rounds = self.pipeline.rounds(num_layers)
        return (rounds, num_layers // rounds)


def apply_layers(
    layer_fn: LayerFn,
    stacked_params: Any,
    x: Float[Array, "batch *rest"],
    shared: Any,
    execution: Execution,
) -> Float[Array, "batch *rest"]:
    """Runs `x` through all layers in order.

    Args:
      stacked_params: leaves `[*execution.stack_shape(num_layers), ...]`.
    """
    if execution.pipeline is None:
        return _run_in_order(layer_fn, stacked_params, x, shared, jnp.int32(0), execution)

    def stage_fn(params: Any, x: jax.Array, shared: Any, first_layer: jax.Array) -> jax.Array:
        if jax.tree.leaves(params)[0].shape[0] == 1:
            # The pipeline rematerialises whole stages, so that picked weights are not kept.
            params = jax.tree.map(lambda leaf: leaf[0], params)
            return layer_fn(params, x, shared, first_layer)
        return _run_in_order(layer_fn, params, x, shared, first_layer, execution)

    policy = None if execution.remat == "none" else _PIPELINE_REMAT_POLICIES[execution.remat]
    result: jax.Array = run_pipeline(
        stage_fn, stacked_params, x, shared, execution.pipeline, policy
    )
    return result


def _run_in_order(
    layer_fn: LayerFn,
    stacked_params: Any,
    x: jax.Array,
    shared: Any,
    first_layer: jax.Array,
    execution: Execution,
) -> jax.Array:
    """Runs `x` through consecutive layers, of which the first is number `first_layer`."""
    if execution.remat != "none":
        layer_fn = jax.checkpoint(layer_fn, policy=_REMAT_POLICIES[execution.remat])
    if execution.unroll:
        for index, layer_params in enumerate(unstack_layers(stacked_params)):
            x = layer_fn(layer_params, x, shared, first_layer + index)
        return x

    def body(x: jax.Array, layer: tuple[Any, jax.Array]) -> tuple[jax.Array, None]:
        layer_params, index = layer
        return layer_fn(layer_params, x, shared, index), None

    num_layers = jax.tree.leaves(stacked_params)[0].shape[0]
    x, _ = jax.lax.scan(body, x, (stacked_params, first_layer + jnp.arange(num_layers)))
    return x


def unstack_layers(stacked_params: Any) -> list[Any]:
    """The weights of each layer, from leaves `[layers, ...]`."""
    leaves, structure = jax.tree.flatten(stacked_params)
    num_layers = leaves[0].shape[0]
    # One split has one concatenation as its gradient; indexing has a padded sum a layer.
    split = [jax.lax.split(leaf, (1,) * num_layers) for leaf in leaves]
    return [
        jax.tree.unflatten(structure, [parts[index][0] for parts in split])
        for index in range(num_layers)
    ]
