"""A parameter of another run in the shape that this run has, where that means something.

Tables of positions on another grid are interpolated; of a longer or shorter text the first
positions are taken; tables with a row for each piece of the vocabulary, or each class, are matched
by name.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

Grid = tuple[int, ...]
"""Rows and columns of the tokens of a picture."""


class Fitted(NamedTuple):
    """An array in its new shape."""

    array: Shaped[np.ndarray, "..."]
    known: Bool[np.ndarray, "..."] | None
    """Where it holds what the other run has learnt, to be broadcast; None: everywhere."""
    how: str
    """For a table that people read."""


class Counted(NamedTuple):
    """What an axis of a parameter counts, by names that the runs do not share."""

    what: str
    axis: int
    rows: Callable[[], Int[np.ndarray, "names"]]
    """For each of ours its row in theirs; -1 where there is none."""


def fit_positions(
    name: str,
    table: Float[np.ndarray, "old features"],
    shape: tuple[int, ...],
    grids: tuple[Grid | None, Grid | None],
) -> Fitted | None:
    """A table of positions with as many rows as `shape` says; None where `name` is no such table.

    Args:
      name: of the parameter in this run.
      table: what the other run has.
      shape: what this run needs.
      grids: of the other run's tokens and of this run's, where the settings say them.
    """
    if len(shape) != 2 or table.ndim != 2 or table.shape[1] != shape[1]:
        return None
    old, new = len(table), shape[0]
    if name.endswith("text_positions/table"):
        fitted = np.zeros(shape, table.dtype)
        fitted[: min(old, new)] = table[:new]
        known = (np.arange(new) < old)[:, None]
        how = f"the first {min(old, new)} of {new} positions"
        return Fitted(fitted, None if known.all() else known, how)
    if name.endswith(("positions/row/table", "positions/column/table")):
        return Fitted(interpolate(table, (old,), (new,)), None, f"interpolated from {old}")
    was, now = grids
    if was is None or now is None:
        return None
    if name.endswith("start_embedding/table") and (was[0], now[0]) == (old, new):  # one a row
        return Fitted(interpolate(table, (old,), (new,)), None, f"interpolated from {old}")
    if not name.endswith("positions/table") or (math.prod(was), math.prod(now)) != (old, new):
        return None
    return Fitted(interpolate(table, was, now), None, f"interpolated from {was[0]} x {was[1]}")


def interpolate(
    table: Float[np.ndarray, "old features"], grid: Grid, new_grid: Grid
) -> Float[np.ndarray, "new features"]:
    """Linear between the centres of cells, along each axis; constant beyond the outer ones.

    The n cells of an axis and the m new ones cover the same length: new cell i has its centre at
    (i + 1/2) n / m - 1/2 in units of old cells.
    """
    values = table.astype(np.float64).reshape(*grid, -1)
    for axis, (old, new) in enumerate(zip(grid, new_grid, strict=True)):
        places = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        low = np.floor(places).astype(int)
        high = np.minimum(low + 1, old - 1)
        weight = (places - low).reshape(-1, *(1,) * (values.ndim - 1 - axis))
        values = values.take(low, axis) * (1 - weight) + values.take(high, axis) * weight
    return values.reshape(-1, table.shape[-1]).astype(table.dtype)


def axis_of_pieces(name: str, network: set[str]) -> int | None:
    """The axis of a parameter that counts the pieces of the vocabulary, if any does.

    Args:
      name: of the parameter.
      network: names of all parameters of its network.
    """
    if name.endswith("text_embedding/table"):
        return 0
    # Logits over texts: those of a network that embeds image tokens are over the codebook.
    reads_codes = any(other.endswith("image_embedding/table") for other in network)
    reads_text = any(other.endswith("text_embedding/table") for other in network)
    is_logits = name.endswith("logits/kernel")
    return 1 if is_logits and reads_text and not reads_codes else None


def match_pieces(ours: bytes, theirs: bytes) -> Int[np.ndarray, "pieces"]:
    """For each piece of our SentencePiece model its row in theirs; -1 where there is none."""
    import sentencepiece

    def pieces(model: bytes) -> list[str]:
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        return [processor.id_to_piece(index) for index in range(processor.get_piece_size())]

    return match_names(pieces(ours), pieces(theirs))


def match_names(ours: Sequence[str], theirs: Sequence[str]) -> Int[np.ndarray, "names"]:
    """For each of our names its row in theirs; -1 where there is none."""
    rows = {name: row for row, name in enumerate(theirs)}
    return np.array([rows.get(name, -1) for name in ours])


def fit_rows(
    table: Float[np.ndarray, "..."],
    shape: tuple[int, ...],
    axis: int,
    rows: Int[np.ndarray, "names"],
    what: str,
) -> Fitted | None:
    """The rows (along `axis`) of what both runs have; None: other widths.

    Args:
      rows: of `match_names`.
      what: pieces or classes, for people.
    """
    if np.delete(table.shape, axis).tolist() != np.delete(shape, axis).tolist():
        return None
    matched = np.full(shape[axis], -1)
    matched[: len(rows)] = rows[: shape[axis]]
    matched[matched >= table.shape[axis]] = -1
    known = np.expand_dims(matched >= 0, 1 - axis)
    fitted = np.where(known, table.take(np.maximum(matched, 0), axis), 0).astype(table.dtype)
    return Fitted(fitted, known, f"{known.sum()} of {known.size} {what}")
