"""Contract: processes give the rows that their devices hold, whatever the mesh."""

import dataclasses

import pytest

from babeldraw.errors import UserError
from babeldraw.training.batches import share_of_process

ROWS = 8


@dataclasses.dataclass(frozen=True)
class Device:
    id: int
    process_index: int


class Sharding:
    """Of 8 rows over `data` devices each; a list of the processes that the devices belong to."""

    def __init__(self, data, processes):
        self._data, self._processes = data, processes

    def devices_indices_map(self, shape):
        rows = shape[0] // self._data
        model = len(self._processes) // self._data
        return {
            Device(i, process): (slice(i // model * rows, (i // model + 1) * rows),)
            for i, process in enumerate(self._processes)
        }


@pytest.mark.parametrize(
    ("data", "processes", "shares"),
    [
        (8, [0] * 8, [(0, 1)]),
        (8, [0, 0, 1, 1, 2, 2, 3, 3], [(0, 4), (1, 4), (2, 4), (3, 4)]),
        # In-layer parallelism within a process, then over two, then over all.
        (4, [0, 0, 0, 0, 1, 1, 1, 1], [(0, 2), (1, 2)]),
        (2, [0, 0, 1, 1, 2, 2, 3, 3], [(0, 2), (0, 2), (1, 2), (1, 2)]),
        (1, [0, 0, 1, 1, 2, 2, 3, 3], [(0, 1)] * 4),
        # A process's rows need not lie together.
        (4, [0, 1, 0, 1], [(0, 2), (1, 2)]),
    ],
)
def test_shares(data, processes, shares):
    sharding = Sharding(data, processes)
    found = [share_of_process(sharding, ROWS, process) for process in range(max(processes) + 1)]
    assert [(share.index, share.count) for share in found] == shares


def test_rows_that_lie_apart_are_given_in_order():
    share = share_of_process(Sharding(4, [0, 1, 0, 1]), ROWS, 1)
    assert share.local_rows == {(2, 4): slice(0, 2), (6, 8): slice(2, 4)}


def test_uneven_rows_are_refused():
    with pytest.raises(UserError, match="unevenly over the processes"):
        share_of_process(Sharding(4, [0, 0, 0, 1]), ROWS, 0)
