"""What a pipeline moves: a store of microbatches at stage 0, and a buffer with one a stage.

Arrays with a leading `stages` dimension are sharded over the mesh axis `stage`, microbatches over
`data`. Stage 0's part is never sliced out of such an array: XLA's partitioner would give every
device all of it. A shift becomes one collective-permute, and the batch is read by a masked sum.
"""

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Bool, Int, Shaped

Stages = Shaped[Array, "stages microbatch *rest"]
"""One microbatch a stage."""

Store = Shaped[Array, "stages slots microbatch *rest"]
"""One slot a microbatch, and one more (the last) for what nobody reads. Stage 0's count."""


def constrain(x: Shaped[Array, "*shape"], *mesh_axes: str | None) -> Shaped[Array, "*shape"]:
    """Places the leading dimensions and leaves the others to XLA; nothing without a mesh."""
    if jax.sharding.get_abstract_mesh().empty:
        return x
    free = [PartitionSpec.UNCONSTRAINED] * (x.ndim - len(mesh_axes))
    placed: jax.Array = jax.lax.with_sharding_constraint(x, PartitionSpec(*mesh_axes, *free))
    return placed


def to_store(x: Shaped[Array, "batch *rest"], stages: int, num_microbatches: int) -> Store:
    """Splits a batch into microbatches and puts them into stage 0's slots.

    Microbatch m has the examples m, M + m, 2M + m...: with the microbatch's index minor in the
    batch, every device of `data` has its share of every microbatch without any being moved.
    """
    x = constrain(x, "data").reshape(-1, num_microbatches, *x.shape[1:])
    x = constrain(jnp.swapaxes(x, 0, 1), None, "data")
    padding = [(0, stages - 1), (0, 1)] + [(0, 0)] * (x.ndim - 1)
    return constrain(jnp.pad(x[None], padding), "stage", None, "data")


def from_store(store: Store) -> Shaped[Array, "batch *rest"]:
    """The batch that stage 0's slots hold, in its first order."""
    x = jnp.swapaxes(store[:, :-1], 1, 2)
    x = constrain(x.reshape(x.shape[0], -1, *x.shape[3:]), "stage", "data")
    x = select(first_stage(x.shape[0]), x, jnp.zeros_like(x))
    # Not jnp.sum, which adds bfloat16 in float32 and so sends twice the bytes. The rest is zeros.
    batch: jax.Array = jax.lax.reduce(x, x.dtype.type(0), jax.lax.add, (0,))
    return batch


@jax.custom_vjp
def take(store: Store, slot: Int[Array, ""]) -> tuple[Stages, Store]:
    """What `slot` holds, and the store with that slot emptied.

    JAX's own gradient would add two whole stores. What was taken is gone, so the gradient of the
    slot is that of what was taken, and can be written in place.
    """
    taken = read(store, slot)
    return taken, put(store, jnp.zeros_like(taken), slot)


def _take_forward(store: Store, slot: jax.Array) -> tuple[tuple[Stages, Store], jax.Array]:
    return take(store, slot), slot


def _take_backward(slot: jax.Array, gradients: tuple[Stages, Store]) -> tuple[Store, None]:
    taken, store = gradients
    return put(store, taken, slot), None


take.defvjp(_take_forward, _take_backward)


def read(store: Store, slot: Int[Array, ""]) -> Stages:
    """What `slot` holds, for every stage in its part."""
    held: jax.Array = jax.lax.dynamic_index_in_dim(store, slot, axis=1, keepdims=False)
    return held


def put(store: Store, x: Stages, slot: Int[Array, ""]) -> Store:
    """Writes every stage's microbatch to the same slot of its part."""
    updated: jax.Array = jax.lax.dynamic_update_index_in_dim(store, x, slot, axis=1)
    return updated


@jax.custom_vjp
def to_next_stage(x: Stages) -> Stages:
    """What stage s has goes to stage s + 1, and the last stage's to stage 0.

    One collective-permute. JAX's own gradient would be two: a sum of two shifts.
    """
    return _join(x, x.shape[0] - 1)


def _to_next_forward(x: Stages) -> tuple[Stages, None]:
    return to_next_stage(x), None


def _to_next_backward(_: None, gradient: Stages) -> tuple[Stages]:
    return (_join(gradient, 1),)


to_next_stage.defvjp(_to_next_forward, _to_next_backward)


def _join(x: Stages, start: int) -> Stages:
    """`x[start:]`, then `x[:start]`: the form that XLA's partitioner knows for a rotation."""
    end = x.shape[0]
    pieces = jax.lax.slice_in_dim(x, start, end), jax.lax.slice_in_dim(x, 0, start)
    return constrain(jnp.concatenate(pieces), "stage", "data")


def split_replicas(x: Stages, replicas: int) -> Shaped[Array, "stages replicas share *rest"]:
    """Each microbatch as the shares of the devices along `data`."""
    x = x.reshape(x.shape[0], replicas, -1, *x.shape[2:])
    return constrain(x, "stage", "data")


def join_replicas(x: Shaped[Array, "stages replicas share *rest"]) -> Stages:
    """The inverse of `split_replicas`."""
    return constrain(x.reshape(x.shape[0], -1, *x.shape[3:]), "stage", "data")


def first_stage(stages: int) -> Bool[Array, "stages"]:
    """True at stage 0."""
    return jnp.arange(stages) == 0


@jax.custom_vjp
def select(where: Bool[Array, "stages"], x: Stages, other: Stages) -> Stages:
    """`x` at the stages named, `other` at the rest.

    JAX's own gradient would keep `where` as large as `x`, once an iteration.
    """
    return jnp.where(where.reshape(-1, *(1,) * (x.ndim - 1)), x, other)


def _select_forward(where: jax.Array, x: Stages, other: Stages) -> tuple[Stages, jax.Array]:
    return select(where, x, other), where


def _select_backward(where: jax.Array, gradient: Stages) -> tuple[None, Stages, Stages]:
    zeros = jnp.zeros_like(gradient)
    return None, select(where, gradient, zeros), select(where, zeros, gradient)


select.defvjp(_select_forward, _select_backward)
