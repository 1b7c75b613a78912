"""In which order image tokens are drawn, and where in the caches each one stands meanwhile.

Under the conv-shaped mask without wrap, of half width `h`, token (r, c) reads nothing later than
its neighbours (r, c - 1) and (r - 1, c + h). All tokens of equal `c + h r` may so be drawn in one
step, `W + h (H - 1)` steps in place of `H W`, and each is the same token as in raster order (but
for the rounding of sums): an exact wavefront. Its one further condition is on the model's input,
which at column 0 must not be the last token of the row above (`decoder_inputs`).

A cache needs room for the tokens that a later step still reads, and no more: with the conv-shaped
mask in raster order `h W + h + 1` positions at most, in a ring.
"""

import dataclasses
import heapq
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int

from babeldraw.errors import UserError
from babeldraw.models.image_decoder import ImageDecoder

Order = Literal["wavefront", "raster", "raster_full_cache"]
"""`raster_full_cache` never gives a place in the cache to a second token; to compare with."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Which tokens each step draws, the same for every picture. An idle lane has position `n`.

    Attributes:
      positions: raster positions drawn by each step.
      slots: their places in the caches; an idle lane's is `capacity`, which is no place.
      visible: which places each of them attends to.
      capacity: places in a cache.
      kept, kept_slots: the positions of the given prefix that a step reads, and their places.
    """

    positions: Int[np.ndarray, "steps lanes"]
    slots: Int[np.ndarray, "steps lanes"]
    visible: Bool[np.ndarray, "steps lanes capacity"]
    capacity: int
    kept: Int[np.ndarray, "kept"]
    kept_slots: Int[np.ndarray, "kept"]


def make_schedule(
    model: ImageDecoder, prefix_length: int = 0, order: Order | None = None
) -> Schedule:
    """The schedule of `model` after a raster prefix of given tokens.

    Args:
      order: by default the wavefront where it is exact, and the raster order elsewhere.

    Raises:
      UserError: a wavefront is asked for where it would not be exact.
    """
    if order is None:
        order = "wavefront" if allows_wavefront(model) else "raster"
    if order == "wavefront" and not allows_wavefront(model):
        raise UserError(
            "the wavefront needs decoder_inputs of 'row_start' or 'row_start_above' and a "
            "conv-shaped mask without wrap; draw from this model in raster order."
        )
    mask = model.grid_mask.dense
    times = _wavefront_times(model) if order == "wavefront" else np.arange(model.num_tokens)
    drawn = np.arange(prefix_length, model.num_tokens)
    groups = [drawn[times[drawn] == time] for time in np.unique(times[drawn])]
    slot_of, capacity = _slots(groups, mask, reuse=order != "raster_full_cache")

    lanes = max((len(group) for group in groups), default=0)
    positions = np.full((len(groups), lanes), model.num_tokens, np.int32)
    slots = np.full((len(groups), lanes), capacity, np.int32)
    visible = np.zeros((len(groups), lanes, capacity), bool)
    for step, group in enumerate(groups):
        positions[step, : len(group)] = group
        slots[step, : len(group)] = slot_of[group]
        for lane, position in enumerate(group):
            visible[step, lane, slot_of[mask[position]]] = True
    kept = np.flatnonzero(slot_of[:prefix_length] >= 0)
    return Schedule(positions, slots, visible, capacity, kept, slot_of[kept])


def allows_wavefront(model: ImageDecoder) -> bool:
    """Whether tokens of equal `c + h r` can be drawn together without changing any."""
    return (
        model.decoder_inputs != "raster"
        and model.attention_kernel is not None
        and not model.attention_wrap
    )


def _wavefront_times(model: ImageDecoder) -> Int[np.ndarray, "n"]:
    assert model.attention_kernel is not None
    half = (model.attention_kernel - 1) // 2
    # A window wider than the picture reaches to the end of the row above and no further.
    delay = min(half, model.columns - 1)
    if model.decoder_inputs == "row_start_above":
        delay = max(delay, 1)  # The token above must have been drawn.
    row, column = np.divmod(np.arange(model.num_tokens), model.columns)
    times: np.ndarray = column + delay * row
    return times


def _slots(
    groups: list[Int[np.ndarray, "_group"]], mask: Bool[np.ndarray, "n n"], reuse: bool
) -> tuple[Int[np.ndarray, "n"], int]:
    """Each position's place, and how many there are; -1 for a prefix position never read again.

    A place is free again after the last step that reads it, and the lowest free one is taken.
    """
    if not reuse:
        return np.arange(len(mask), dtype=np.int32), len(mask)
    slot_of = np.full(len(mask), -1, np.int32)
    last_read = np.full(len(mask), -1)
    for step, group in enumerate(groups):
        last_read[mask[group].any(0)] = step
    drawn = np.concatenate(groups) if groups else np.arange(0)
    prefix = np.setdiff1d(np.flatnonzero(last_read >= 0), drawn)
    released: list[list[int]] = [[] for _ in range(len(groups) + 1)]
    free: list[int] = []
    capacity = 0
    for step, group in enumerate([prefix, *groups], start=-1):
        if step > 0:
            for slot in released[step - 1]:
                heapq.heappush(free, slot)
        for position in group:
            if not free:
                heapq.heappush(free, capacity)
                capacity += 1
            slot_of[position] = heapq.heappop(free)
            released[last_read[position]].append(int(slot_of[position]))
    return slot_of, capacity
