"""The rule of `optimizers/adafactor.py`, written plainly in numpy, one layer at a time.

In the order in which float32 numbers are added XLA and numpy differ, and XLA may change its mind
with the shape. So the sum is a parameter: `jax_sum` is XLA's, for tests bit for bit, and
`numpy_sum` numpy's own, for tests with a tolerance. All else is numpy's.
"""

import math

import jax.numpy as jnp
import numpy as np


def jax_sum(x, axes):
    return np.asarray(jnp.sum(x, axis=axes, keepdims=True))


def numpy_sum(x, axes):
    return np.sum(x, axis=axes, keepdims=True)


class Layer:
    """One layer of one parameter: its slots, and `update(gradient, ...)`."""

    def __init__(self, shape, dtype, min_dim_size_to_factor):
        self.shape, self.dtype = shape, dtype
        self.split = min(
            range(1, max(len(shape), 2)),
            key=lambda i: math.prod(shape[:i]) + math.prod(shape[i:]),
        )
        self.rows = tuple(range(self.split)) if len(shape) > 1 else ()
        self.columns = tuple(range(len(self.rows), len(shape)))
        rows, columns = math.prod(shape[: self.split]), math.prod(shape[self.split :])
        self.factored = len(shape) > 1 and min(rows, columns) >= min_dim_size_to_factor
        # A scale reaches along a column, or a row where there are fewer rows; or all of a vector.
        self.line = self.columns if len(shape) < 2 or rows < columns else self.rows
        self.quantised = dtype == np.int8 and len(shape) > 0

        def zeros(reduced):
            kept = [1 if i in reduced else n for i, n in enumerate(shape)]
            return np.zeros(kept, np.float32)

        self.moment = np.zeros(shape, dtype if self.quantised else np.float32)
        self.scale = zeros(self.line) if self.quantised else None
        self.row = zeros(self.columns) if self.factored else None
        self.column = zeros(self.rows) if self.factored else None
        self.square = None if self.factored else zeros(())

    def update(self, g, w, *, rate, clip, debias, b1, b2, weight_decay, add):
        """What is added to `w`."""

        def mean(x, axes):
            return add(x, axes) * np.float32(1 / math.prod(x.shape[i] for i in axes))

        def average(old, new):
            return np.float32(b2) * old + np.float32(1 - b2) * new

        g = g * clip
        squared = g * g + np.float32(1e-30)
        step = np.float32(1 - b1) * rate
        if self.factored:
            self.row = average(self.row, mean(squared, self.columns))
            self.column = average(self.column, mean(squared, self.rows))
            along = np.sqrt(self.row * (np.float32(1) / mean(self.row, self.rows)))
            u = g * (step / along) * (np.float32(1) / np.sqrt(self.column * debias))
        else:
            self.square = average(self.square, squared)
            u = step * g / np.sqrt(self.square * debias)
        m = self.moment.astype(np.float32)
        if self.quantised:
            m = m * self.scale
        m = np.float32(b1) * m + u
        self.moment = m
        if self.quantised:
            self.scale = np.max(np.abs(m), axis=self.line, keepdims=True) * np.float32(1 / 127)
            divisor = np.where(self.scale == 0, np.float32(1), self.scale)
            self.moment = np.round(m / divisor).astype(np.int8)
        return -(m + rate * np.float32(weight_decay) * w)


class NumpyAdafactor:
    """The optimizer for a dict of parameters; `layer_axes` is a dict of numbers."""

    def __init__(
        self,
        params,
        layer_axes,
        schedule,
        *,
        b1=0.9,
        b2=0.96,
        dtype=np.int8,
        weight_decay=4.5e-2,
        clip_norm=4.0,
        min_dim_size_to_factor=32,
        add=jax_sum,
    ):
        self.schedule, self.clip_norm, self.add = schedule, clip_norm, add
        self.constants = {"b1": b1, "b2": b2, "weight_decay": weight_decay}
        self.step, self.skipped, self.weight = 0, 0, np.float32(0)
        self.depths = layer_axes
        self.layers = {
            name: {
                index: Layer(w.shape[layer_axes[name] :], dtype, min_dim_size_to_factor)
                for index in np.ndindex(w.shape[: layer_axes[name]])
            }
            for name, w in params.items()
        }

    def update(self, gradients, params):
        """The new parameters."""
        total = np.float32(0)
        for name in sorted(gradients):
            g = gradients[name]
            total = total + self.add(g * g, tuple(range(g.ndim))).reshape(())
        norm = np.sqrt(total)
        if not np.isfinite(norm):
            self.skipped += 1
            return params
        b2 = self.constants["b2"]
        self.weight = np.float32(b2) * self.weight + np.float32(1 - b2) * np.float32(1)
        clip = np.float32(self.clip_norm) / np.maximum(norm, np.float32(self.clip_norm))
        new = {}
        for name, w in params.items():
            new[name] = w.copy()
            for index, layer in self.layers[name].items():
                update = layer.update(
                    gradients[name][index],
                    w[index],
                    rate=np.float32(self.schedule(self.step)),
                    clip=clip,
                    debias=np.float32(1) / self.weight,
                    add=self.add,
                    **self.constants,
                )
                new[name][index] = w[index] + update
        self.step += 1
        return new

    def slot(self, slot, name):
        """One array of the state as the optimizer keeps it, or None."""
        layers = self.layers[name]
        values = [getattr(layer, slot) for layer in layers.values()]
        if values[0] is None:
            return None
        depth = self.depths[name]
        lengths = tuple(max(index[i] for index in layers) + 1 for i in range(depth))
        return np.stack(values).reshape(lengths + values[0].shape)
