"""Circular pipelining as tensor partitioning (GSPMD, arXiv:2105.04663, section 3.3).

`run_pipeline` takes the function of one stage and the stacked weights of all of them. It knows
nothing of Transformers: any part of a model that maps `x` to `x` of the same shape can go through.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Shaped

from babeldraw.parallel.microbatches import (
    constrain,
    first_stage,
    from_store,
    join_replicas,
    put,
    read,
    select,
    split_replicas,
    take,
    to_next_stage,
    to_store,
)
from babeldraw.parallel.rules import pipeline_rules
from babeldraw.parallel.schedule import Pipeline, check_batch

StageFn = Callable[[Any, Any, Any, jax.Array], Any]
"""`stage_fn(params, x, shared, first_layer) -> x`: consecutive layers on one microbatch.

`params` has leaves `[layers a stage, ...]`, `x` and `shared` are pytrees with leaves
`[microbatch, ...]`; `first_layer` is the place of the stage's first layer in the whole stack.
"""

_BUBBLE_FILL = 0.0
"""What the stages are given in bubbles. Tests set NaN: nothing may come of it."""


def run_pipeline(
    stage_fn: StageFn,
    stacked_params: Any,
    x: Any,
    shared: Any,
    pipeline: Pipeline,
    remat_policy: Callable[..., Any] | None = None,
) -> Any:
    """Runs `x` through all stages, every round.

    With S stages, M microbatches, R rounds and K layers a stage and round, layer
    `(round * S + stage) * K + k` stands at `[round, stage * K + k]` of the weights. The schedule:

        store = microbatches of x                           # at stage 0
        for t in range(M * R + S - 1):                      # lax.scan
            for stage in range(S):                          # vmap, a stage a device
                i = t - stage                               # in a bubble unless 0 <= i < M * R
                round, microbatch = divmod(i, M)
                if stage == 0:
                    buffer[0] = store[microbatch], shared[microbatch]
                buffer[stage] = stage_fn(params[round, stage], buffer[stage])
            buffer = roll(buffer, 1)                        # collective-permute
            store[microbatch that left the last stage] = buffer[0]
        return store

    So the store holds in turn the input of a microbatch, what waits for its next round, and its
    result, and no iteration's output has to be kept. `shared` moves along with `x` and is put in
    anew every round. Within the loop nothing but the buffer goes from stage to stage.

    Data parallelism is written out as a dimension as well, sharded over `data`: every replica has
    weights of its own, which costs no memory, and so gradients of its own until the end of the
    scan. With shared weights XLA would sum the gradients over `data` in every iteration.

    Args:
      stage_fn: one stage, see `StageFn`.
      stacked_params: leaves `[R, S * K, ...]`, the second dimension sharded over `stage`.
      x: pytree with leaves `[batch, ...]`; what the layers change.
      shared: pytree with leaves `[batch, ...]` that every layer reads and none changes. Random keys
        may be among them.
      pipeline: S, M and R.
      remat_policy: of `jax.checkpoint` around what the stages compute; their input is kept in any
        case, and no weights. None: no rematerialisation.

    Returns:
      The pytree `x` after the last layer.

    Raises:
      UserError: a batch that does not divide by the microbatches and the mesh.
    """
    stages, microbatches = pipeline.stages, pipeline.num_microbatches
    num_rounds, layers_a_round = jax.tree.leaves(stacked_params)[0].shape[:2]
    layers_a_stage = layers_a_round // stages
    useful_iterations = microbatches * num_rounds
    check_batch(jax.tree.leaves(x)[0].shape[0], pipeline)
    mesh = jax.sharding.get_abstract_mesh()
    replicas = 1 if mesh.empty else mesh.shape["data"]

    def by_replica_and_stage(leaf: jax.Array) -> jax.Array:
        leaf = leaf.reshape(num_rounds, stages, layers_a_stage, *leaf.shape[2:])
        leaf = jnp.broadcast_to(constrain(leaf, None, "stage"), (replicas, *leaf.shape))
        return constrain(leaf, "data", None, "stage")

    def items(t: jax.Array) -> tuple[jax.Array, jax.Array]:
        item = t - jnp.arange(stages)
        return item, (item >= 0) & (item < useful_iterations)

    def run_stage(
        params: Any, x: Any, shared: Any, stage: jax.Array, item: jax.Array, busy: jax.Array
    ) -> Any:
        round_ = jnp.clip(item // microbatches, 0, num_rounds - 1)
        params = jax.tree.map(lambda leaf: _of_round(leaf, round_, busy), params)
        return stage_fn(params, x, wrap_keys(shared), (round_ * stages + stage) * layers_a_stage)

    def run_stages(params: Any, x: Any, shared: Any, t: jax.Array) -> Any:
        each_stage = jax.vmap(run_stage, (1, 0, 0, 0, 0, 0), spmd_axis_name="stage")
        each_replica = jax.vmap(
            each_stage, (0, 1, 1, None, None, None), out_axes=1, spmd_axis_name="data"
        )
        x, shared = jax.tree.map(lambda leaf: split_replicas(leaf, replicas), (x, shared))
        with nn.logical_axis_rules(pipeline_rules(nn.get_logical_axis_rules())):
            x = each_replica(params, x, shared, jnp.arange(stages), *items(t))
        return jax.tree.map(join_replicas, x)

    if remat_policy is not None:
        # Around this alone: its inputs are all that an iteration keeps. With the store inside,
        # every iteration would keep the whole store.
        run_stages = jax.checkpoint(run_stages, policy=remat_policy, prevent_cse=False)

    def enter(entering: jax.Array, buffer: jax.Array, busy: jax.Array) -> jax.Array:
        buffer = select(first_stage(stages), entering, buffer)
        if jnp.issubdtype(buffer.dtype, jnp.floating):
            buffer = select(busy, buffer, jnp.full_like(buffer, _BUBBLE_FILL))
        return constrain(buffer, "stage", "data")

    def iterate(carry: tuple[Any, Any, Any], t: jax.Array) -> tuple[tuple[Any, Any, Any], None]:
        x, shared, store = carry
        _, busy = items(t)
        slot = jnp.where(t < useful_iterations, t % microbatches, microbatches)
        taken = jax.tree.map(lambda leaf: take(leaf, slot), store)
        entering, store = jax.tree.transpose(jax.tree.structure(store), None, taken)
        x = jax.tree.map(lambda new, old: enter(new, old, busy), entering, x)
        shared = jax.tree.map(
            lambda leaf, old: enter(read(leaf, slot), old, busy), shared_store, shared
        )
        x = run_stages(params, x, shared, t)
        x, shared = jax.tree.map(to_next_stage, (x, shared))
        left = t - (stages - 1)
        slot = jnp.where(left >= 0, left % microbatches, microbatches)
        store = jax.tree.map(lambda leaf, new: put(leaf, new, slot), store, x)
        return (x, shared, store), None

    params = jax.tree.map(by_replica_and_stage, stacked_params)
    shared, wrap_keys = _without_keys(shared)
    store, shared_store = jax.tree.map(
        lambda leaf: to_store(leaf, stages, microbatches), (x, shared)
    )
    x, shared = jax.tree.map(lambda leaf: jnp.zeros_like(leaf[:, 0]), (store, shared_store))
    (_, _, store), _ = jax.lax.scan(
        iterate, (x, shared, store), jnp.arange(useful_iterations + stages - 1)
    )
    return jax.tree.map(from_store, store)


def _of_round(
    leaf: Shaped[Array, "rounds *weight"], round_: jax.Array, busy: jax.Array
) -> Shaped[Array, "*weight"]:
    """A stage's weights of one round; in a bubble they get no gradient, not even NaN."""
    if leaf.shape[0] == 1:
        leaf = leaf[0]
    else:
        leaf = jax.lax.dynamic_index_in_dim(leaf, round_, keepdims=False)
    return jnp.where(busy, leaf, jax.lax.stop_gradient(leaf))


def _without_keys(tree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """The tree with random keys as plain words, which can be padded; and the way back."""
    leaves, structure = jax.tree.flatten(tree)
    kinds = [
        jax.random.key_impl(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else None
        for leaf in leaves
    ]

    def unwrap(leaf: jax.Array, kind: Any) -> jax.Array:
        return leaf if kind is None else jax.random.key_data(leaf)

    def wrap(leaf: jax.Array, kind: Any) -> jax.Array:
        return leaf if kind is None else jax.random.wrap_key_data(leaf, impl=kind)

    def wrap_all(tree: Any) -> Any:
        return jax.tree.unflatten(structure, map(wrap, jax.tree.leaves(tree), kinds))

    return jax.tree.unflatten(structure, map(unwrap, leaves, kinds)), wrap_all
