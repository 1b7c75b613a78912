"""Steps that change nothing: where a loss or gradient is not finite, or is a spike.

A spike is a loss, or a norm of all gradients before clipping, above `factor` times the median of
its last `window` values. Those are of steps that were taken: a spike does not raise what the next
step is measured by. Until there are `window` of them, nothing is a spike; nor is a loss where the
median is not positive, of which a multiple says nothing.

PaLM (arXiv 2204.02311, section 5.1) went back to a checkpoint about 100 steps before each spike and
left out the batches around it; here the one step is left out, at once.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

Tree = Any


def update_or_skip(
    optimizer: optax.GradientTransformation,
    gradients: Tree,
    state: Tree,
    params: Tree,
    loss: Float[Array, ""],
) -> tuple[Tree, Tree]:
    """`optimizer.update`: updates and the new state.

    Updates are 0 and the state is as before where `loss`, or one of the gradients, is not finite.
    """
    optimizer = optax.with_extra_args_support(optimizer)
    updates, after = optimizer.update(gradients, state, params, value=loss)
    if optax.tree.get_all_with_path(state, "skipped"):  # It skips by itself, in place.
        return updates, after
    finite = jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(gradients))
    updates = jax.tree.map(lambda update: jnp.where(finite, update, 0), updates)
    after = jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, state)
    return updates, after


class SpikeState(NamedTuple):
    """What spikes are told by, and the state of the optimizer that is kept from them.

    Rings of the steps that were taken: step k of them is at k modulo `window`.
    """

    losses: Float[Array, "window"]
    norms: Float[Array, "window"]
    taken: jax.Array  # int32[]
    skipped: jax.Array  # int32[]: spikes.
    inner: Tree


def skip_spikes(
    optimizer: optax.GradientTransformation, factor: float, window: int
) -> optax.GradientTransformationExtraArgs:
    """`optimizer`, which a spike does not reach. Its `update` needs the loss as `value`."""

    def init(params: Tree) -> SpikeState:
        nothing, none = jnp.zeros((window,), jnp.float32), jnp.zeros((), jnp.int32)
        return SpikeState(nothing, nothing, none, none, optimizer.init(params))

    def update(
        gradients: Tree,
        state: SpikeState,
        params: Tree | None = None,
        *,
        value: jax.Array,
        **unused: Any,
    ) -> tuple[Tree, SpikeState]:
        loss = jnp.asarray(value, jnp.float32)
        norm = jnp.asarray(optax.tree.norm(gradients), jnp.float32)
        high = _is_spike(loss, state.losses, factor) | _is_spike(norm, state.norms, factor)
        finite = jnp.isfinite(loss) & jnp.isfinite(norm)
        spike = finite & (state.taken >= window) & high
        updates, inner = update_or_skip(
            optimizer, gradients, state.inner, params, jnp.where(spike, jnp.nan, loss)
        )
        taken = finite & ~spike
        place = jnp.where(taken, state.taken % window, window)  # Out of bounds: written nowhere.
        return updates, SpikeState(
            state.losses.at[place].set(loss, mode="drop"),
            state.norms.at[place].set(norm, mode="drop"),
            state.taken + taken,
            state.skipped + spike,
            inner,
        )

    return optax.GradientTransformationExtraArgs(init, update)


def _is_spike(
    value: Float[Array, ""], ring: Float[Array, "window"], factor: float
) -> Bool[Array, ""]:
    median = jnp.median(ring)
    return (median > 0) & (value > factor * median)
