"""Adafactor whose first moment takes one byte a parameter.

An ordinary `optax.GradientTransformation` that needs nothing but JAX and optax. For a parameter
`w` with gradient `g` in float32, at learning rate `lr`, with `eps = 1e-30`:

    g      <- g * clip_norm / max(norm(all gradients), clip_norm)
    row    <- b2 * row    + (1 - b2) * (mean of g^2 over the columns + eps)
    column <- b2 * column + (1 - b2) * (mean of g^2 over the rows + eps)
    u       = g / sqrt(row / mean(row)) / sqrt(column / weight)
    m      <- b1 * m + (1 - b1) * lr * u          # kept as int8, one float32 scale a line
    w      <- w - (m + lr * weight_decay * w)

The rule is that of Adafactor (arXiv 1804.04235) with the constants of arXiv 2206.10789, in the
form in which Praxis' `sharded_adafactor` has it: the decay rate b2 is constant, the moment holds
updates that have been multiplied by their learning rate, and w moves by the moment before it is
rounded to int8 (by a bfloat16 moment as it is kept). `weight` is the same moving average of ones:
dividing by it debiases the second moment as Adam's is, so that the first updates are not
1 / sqrt(1 - b2) = 5 times too long. The first moment is not debiased. arXiv 1804.04235 also clips
each parameter's updates by their root mean square; this does not.

**Rows and columns.** A kernel of more than two axes is the matrix by which it multiplies:
`[embed, heads, head_dim]` has `embed` rows, `[heads, head_dim, embed]` has `heads * head_dim`,
and a wide convolution `[3, 3, in, out]` has `9 * in`. The axes are split where the numbers of rows
and columns have the smallest sum. Over the last two axes alone the 16 heads of a 350M Transformer
are too few to factor, and it would need more than 2 bytes a parameter in place of 1.0094. A
parameter that is no matrix, or whose rows or columns are fewer than `min_dim_size_to_factor`, keeps
its second moment whole.

**Lines.** m is `int8 * scale` with `scale = max|m| / 127` of a line: a column, or a row where
there are fewer rows. Praxis always takes what is along the first axis; that is the same for
square and for high matrices, and for wide ones (and attention's output) it keeps up to 64 times
as many scales. A vector is one line; a scalar stays float32.

**Stacks.** Of the first `layer_axes` axes of a parameter each element is a layer with numbers of
its own, however many axes count layers. A stack of kernels is updated in a loop along its first
axis, in place of the gradients: memory grows by one layer, not by one stack. The first axis must
not be sharded; a second layer axis may be, as over the stages of a pipeline.

**State.** Every array has the rank of its parameter, with size 1 where an axis is reduced: it is
sharded as its parameter, and the leading layer axes of all of them can be reshaped together.

**Gradients that are not finite** change nothing but the count `skipped`; nor does a loss that is
not, where `update` is given it as `value`.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int8

Tree = Any
"""A pytree like the parameters; None where a parameter has no such array."""

EPSILON = 1e-30
"""Added to squared gradients (arXiv 1804.04235): a line of zeros gives updates of 0, not 0 / 0."""

INT8_MAX = 127
"""-128 is not used: the range is symmetric."""


class AdafactorState(NamedTuple):
    """The counters, and the arrays of each parameter."""

    step: jax.Array  # int32[]: updates made; the step of the schedule.
    skipped: jax.Array  # int32[]: updates left out, for a gradient that was not finite.
    weight: jax.Array  # float32[]: moving average of 1 at the rate b2.
    moment: Tree  # [..., rows, columns]: int8, bfloat16 or float32.
    scale: Tree  # float32[..., 1, columns] or [..., rows, 1]: of an int8 moment.
    row: Tree  # float32[..., rows, 1]: moving mean of squared gradients, where factored.
    column: Tree  # float32[..., 1, columns]
    square: Tree  # float32[..., rows, columns]: the same where not factored.


class _Slots(NamedTuple):
    """What the state has of one parameter."""

    moment: jax.Array
    scale: jax.Array | None
    row: jax.Array | None
    column: jax.Array | None
    square: jax.Array | None


class _Layout(NamedTuple):
    """How one parameter is seen; axes count from the last, so that layers in front are free."""

    rows: tuple[int, ...]  # Axes along which the row changes; () for vectors and scalars.
    columns: tuple[int, ...]
    factored: bool
    line: tuple[int, ...] | None  # Axes over which one scale reaches; None: no scale.


class _Step(NamedTuple):
    """What all parameters of one update share."""

    finite: Bool[Array, ""]
    clip: Float[Array, ""]
    learning_rate: Float[Array, ""]
    debias: Float[Array, ""]  # 1 / weight.


def adafactor(
    learning_rate: optax.ScalarOrSchedule,
    b1: float = 0.9,
    b2: float = 0.96,
    first_moment_dtype: Any = jnp.int8,
    weight_decay: float = 4.5e-2,
    clip_norm: float | None = 4.0,
    min_dim_size_to_factor: int = 32,
    layer_axes: int | Tree | Callable[[Tree], Tree] | None = None,
    weight_decay_mask: Tree | Callable[[Tree], Tree] | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Adafactor as above; updates have the parameters' dtypes, and `update` needs `params`.

    Args:
      learning_rate: a number or a schedule of the number of updates made.
      b1: decay rate of the first moment.
      b2: decay rate of the second moment, the same at every step.
      first_moment_dtype: int8, bfloat16 or float32.
      weight_decay: share of a parameter, times the learning rate, that is taken off at each step.
      clip_norm: longest gradient, over all parameters; None for no clipping.
      min_dim_size_to_factor: fewest rows and columns of a matrix whose second moment is factored.
      layer_axes: how many leading axes of each parameter count layers: one number for all, a
        pytree (or prefix of one) of numbers, or a function of the parameters that gives either.
        None for 0.
      weight_decay_mask: which parameters are decayed: a pytree of booleans (or prefix of one),
        or a function of the parameters that gives one. None for all.

    Raises:
      ValueError: `first_moment_dtype` is none of the three.
    """
    dtype = jnp.dtype(first_moment_dtype)
    if dtype not in (jnp.int8, jnp.bfloat16, jnp.float32):
        raise ValueError(f"first_moment_dtype is {dtype}: give int8, bfloat16 or float32.")

    def layouts(params: Tree) -> list[tuple[int, _Layout]]:
        """Of each parameter, its number of layer axes and its layout."""
        depths = _leaf_values(0 if layer_axes is None else layer_axes, params)
        shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(params)]
        return [
            (depth, _layout(shape[depth:], dtype, min_dim_size_to_factor))
            for depth, shape in zip(depths, shapes, strict=True)
        ]

    def init(params: Tree) -> AdafactorState:
        slots = [
            _fresh(jnp.shape(leaf), layout, dtype)
            for leaf, (_, layout) in zip(jax.tree.leaves(params), layouts(params), strict=True)
        ]
        return AdafactorState(
            jnp.zeros((), jnp.int32),
            jnp.zeros((), jnp.int32),
            jnp.zeros((), jnp.float32),
            *_to_trees(slots, params),
        )

    def update(
        gradients: Tree,
        state: AdafactorState,
        params: Tree | None = None,
        *,
        value: jax.Array | None = None,
        **unused: Any,
    ) -> tuple[Tree, AdafactorState]:
        if params is None:
            raise ValueError(
                "adafactor needs the parameters: call update(gradients, state, params)."
            )
        # A norm is finite when all numbers are (and their squares: 2e19 is no gradient either).
        norm = optax.tree.norm(optax.tree.cast(gradients, jnp.float32))
        finite = jnp.isfinite(norm)
        if value is not None:
            finite &= jnp.isfinite(value)
        rate = learning_rate(state.step) if callable(learning_rate) else learning_rate
        weight = _average(b2, state.weight, jnp.float32(1))
        step = _Step(
            finite=finite,
            clip=jnp.float32(1) if clip_norm is None else clip_norm / jnp.maximum(norm, clip_norm),
            learning_rate=jnp.asarray(rate, jnp.float32),
            debias=1 / weight,
        )
        decays = _leaf_values(True if weight_decay_mask is None else weight_decay_mask, params)
        updates, slots = [], []
        for gradient, param, old, (depth, layout), decayed in zip(
            jax.tree.leaves(gradients),
            jax.tree.leaves(params),
            _from_trees(state, params),
            layouts(params),
            decays,
            strict=True,
        ):
            rule = functools.partial(_move, layout=layout, step=step, b1=b1, b2=b2)
            in_a_loop = depth > 0 and layout.rows
            moment, new = _loop(rule, gradient, old) if in_a_loop else rule(gradient, old)
            decay = step.learning_rate * weight_decay * param.astype(jnp.float32) if decayed else 0
            update = jnp.where(finite, -(moment + decay), 0)
            updates.append(update.astype(param.dtype))
            slots.append(new)
        new_state = AdafactorState(
            state.step + finite,
            state.skipped + ~finite,
            jnp.where(finite, weight, state.weight),
            *_to_trees(slots, params),
        )
        return jax.tree.unflatten(jax.tree.structure(params), updates), new_state

    return optax.GradientTransformationExtraArgs(init, update)


def quantise(
    moment: Float[Array, "*shape"], line: tuple[int, ...]
) -> tuple[Int8[Array, "*shape"], Float[Array, "*lines"]]:
    """`int8 * scale`, to nearest, with one scale for all that lies along the axes `line`.

    A line of zeros has scale 0 and is divided by 1. So is one whose scale would be denormal.
    """
    scale = jnp.max(jnp.abs(moment), axis=line, keepdims=True) * (1 / INT8_MAX)
    is_zero = scale < jnp.finfo(jnp.float32).tiny
    quantised = jnp.round(moment / jnp.where(is_zero, 1, scale)).astype(jnp.int8)
    return quantised, jnp.where(is_zero, 0, scale)


def dequantise(
    quantised: Int8[Array, "*shape"], scale: Float[Array, "*lines"]
) -> Float[Array, "*shape"]:
    """The inverse of `quantise`."""
    return quantised.astype(jnp.float32) * scale


def matrix_split(shape: tuple[int, ...]) -> int:
    """How many leading axes of a kernel count its rows; the others count its columns."""
    return min(
        range(1, len(shape)),
        key=lambda split: math.prod(shape[:split]) + math.prod(shape[split:]),
    )


def _layout(shape: tuple[int, ...], dtype: jnp.dtype, min_dim_size_to_factor: int) -> _Layout:
    """Of one layer of a parameter."""
    axes = tuple(range(-len(shape), 0))
    is_int8 = dtype == jnp.int8
    if len(shape) < 2:
        return _Layout((), axes, False, axes if is_int8 and axes else None)

    split = matrix_split(shape)
    rows, columns = math.prod(shape[:split]), math.prod(shape[split:])
    line = axes[split:] if rows < columns else axes[:split]
    return _Layout(
        axes[:split],
        axes[split:],
        min(rows, columns) >= min_dim_size_to_factor,
        line if is_int8 else None,
    )


def _fresh(shape: tuple[int, ...], layout: _Layout, dtype: jnp.dtype) -> _Slots:
    def zeros(over: tuple[int, ...]) -> jax.Array:
        """With size 1 along the axes `over`."""
        reduced = {axis + len(shape) for axis in over}
        return jnp.zeros([1 if i in reduced else n for i, n in enumerate(shape)], jnp.float32)

    quantised = layout.line is not None
    return _Slots(
        moment=jnp.zeros(shape, jnp.float32 if dtype == jnp.int8 and not quantised else dtype),
        scale=zeros(layout.line) if layout.line is not None else None,
        row=zeros(layout.columns) if layout.factored else None,
        column=zeros(layout.rows) if layout.factored else None,
        square=None if layout.factored else zeros(()),
    )


def _average(rate: float, old: jax.Array, new: jax.Array) -> jax.Array:
    return rate * old + (1 - rate) * new


def _mean(x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    """Over `axes`, which keep size 1.

    A product, as elsewhere here: division by one number for all, XLA turns into a product with
    its reciprocal for some shapes and not for others, and layers should not depend on the stack.
    """
    return jnp.sum(x, axis=axes, keepdims=True) * (1 / math.prod(x.shape[axis] for axis in axes))


def _move(
    g: jax.Array, old: _Slots, *, layout: _Layout, step: _Step, b1: float, b2: float
) -> tuple[jax.Array, _Slots]:
    """The float32 moment by which w moves, and the new slots.

    Any axes in front of the layout's are layers.
    """
    g = g.astype(jnp.float32) * step.clip
    squared = jnp.square(g) + EPSILON
    row = column = square = scale = None
    if old.row is not None and old.column is not None:
        row = _average(b2, old.row, _mean(squared, layout.columns))
        column = _average(b2, old.column, _mean(squared, layout.rows))
        along = jnp.sqrt(row * (1 / _mean(row, layout.rows)))
        down = jnp.sqrt(column * step.debias)
        u = g * ((1 - b1) * step.learning_rate / along) * (1 / down)
    elif old.square is not None:
        square = _average(b2, old.square, squared)
        u = (1 - b1) * step.learning_rate * g / jnp.sqrt(square * step.debias)

    if old.scale is not None and layout.line is not None:
        moment = b1 * dequantise(old.moment, old.scale) + u
        kept, scale = quantise(moment, layout.line)
    else:
        kept = (b1 * old.moment.astype(jnp.float32) + u).astype(old.moment.dtype)
        moment = kept.astype(jnp.float32)
    new = _Slots(kept, scale, row, column, square)
    return moment, jax.tree.map(lambda new, old: jnp.where(step.finite, new, old), new, old)


def _loop(
    rule: Callable[[jax.Array, _Slots], tuple[jax.Array, _Slots]], gradient: jax.Array, old: _Slots
) -> tuple[jax.Array, _Slots]:
    """`rule` for one element of the first axis after the other, each in place of its inputs.

    The moment of an int8 state takes the place of the gradient; others are read from the state.
    (Where two results are both made of what they replace, XLA copies the whole stack.)
    """
    is_int8 = old.scale is not None

    def at(tree: Tree, i: jax.Array | int) -> Tree:
        return jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, i, 0, False), tree)

    def body(i: jax.Array | int, carry: tuple[jax.Array, _Slots]) -> tuple[jax.Array, _Slots]:
        moment, slots = carry
        new_moment, new = rule(at(moment if is_int8 else gradient, i), at(slots, i))
        put = functools.partial(jax.lax.dynamic_update_index_in_dim, index=i, axis=0)
        slots = jax.tree.map(put, slots, new)
        return (put(moment, new_moment) if is_int8 else moment), slots

    start = gradient.astype(jnp.float32) if is_int8 else jnp.zeros(())
    moment, new = jax.lax.fori_loop(0, gradient.shape[0], body, (start, old))
    return moment if is_int8 else new.moment.astype(jnp.float32), new


def _leaf_values(given: Any, params: Tree) -> list[Any]:
    """One value for each parameter, from a pytree prefix or a function that gives one."""
    prefix = given(params) if callable(given) else given
    return jax.tree.leaves(jax.tree.broadcast(prefix, params))


def _from_trees(state: AdafactorState, params: Tree) -> list[_Slots]:
    slots: list[_Slots] = []
    trees = (getattr(state, name) for name in _Slots._fields)
    jax.tree.map(lambda _, *leaves: slots.append(_Slots(*leaves)), params, *trees)
    return slots


def _to_trees(slots: list[_Slots], params: Tree) -> list[Tree]:
    structure = jax.tree.structure(params)
    return [jax.tree.unflatten(structure, leaves) for leaves in zip(*slots, strict=True)]
