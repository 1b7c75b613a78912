"""Rows of a CSV file of which some may be broken: a quote that is not closed eats no other row."""

import collections
import csv
from collections.abc import Callable, Iterator
from typing import TextIO


def read_rows(
    file: TextIO, is_picture: Callable[[str], bool], separator: str = ","
) -> Iterator[tuple[int, list[str] | None]]:
    """The number of each row's first line, and the row; None where it is broken.

    A row may span lines within quotes (RFC 4180). One is broken if it then errs or never ends, or
    if one of these lines looks like a row of its own: by `is_picture`, it begins with the name of
    a picture. The line after its first is then taken for the next row.
    """
    fresh = enumerate(file, start=1)
    again: collections.deque[tuple[int, str]] = collections.deque()  # lines of broken rows
    taken: list[tuple[int, str]] = []

    def take() -> Iterator[str]:
        while line := again.popleft() if again else next(fresh, None):
            taken.append(line)
            yield line[1]

    while True:
        taken.clear()
        row: list[str] | None = None
        try:
            row = next(csv.reader(take(), strict=True, delimiter=separator))
        except StopIteration:
            return
        except csv.Error:  # an unclosed quote, or a field beyond the limit of the module
            if len(taken) == 1:
                row = _lenient(taken[0][1], separator)
        more = taken[1:]
        if more and (
            row is None or any(_begins_row(line, is_picture, separator) for _, line in more)
        ):
            row = None
            again.extendleft(reversed(more))
        yield taken[0][0], row


def _lenient(line: str, separator: str) -> list[str] | None:
    """The line alone as a row, whatever follows its quotes."""
    try:
        return next(csv.reader([line], delimiter=separator), None)
    except csv.Error:
        return None


def _begins_row(line: str, is_picture: Callable[[str], bool], separator: str) -> bool:
    row = _lenient(line, separator)
    return row is not None and len(row) > 1 and is_picture(row[0])
