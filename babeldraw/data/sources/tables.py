"""Files with the captions of all pictures of a folder: JSON lines, CSV, Parquet."""

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from babeldraw.data.sources import csv_rows
from babeldraw.data.sources.pictures import Entry, Skipped
from babeldraw.data.sources.readers import (
    CAPTION_KEYS,
    NAME_KEYS,
    Finder,
    is_picture,
    json_lines,
    open_text,
    with_captions,
)
from babeldraw.errors import UserError

SEPARATORS = ",;\t"


def read_table(folder: pathlib.Path, name: str, skipped: Skipped) -> Iterator[Entry]:
    """The pictures that a file names, relative to where it lies, with their captions.

    A line of a .jsonl is ``{"file_name": ..., "caption": text or list of texts}``, where ``text``
    is as good as ``caption``; .csv and .parquet have these columns. A picture may come up again: it
    then has several captions.

    Args:
      folder: beyond which no picture is found.
      name: of the file, in `folder`.

    Raises:
      UserError: the file has no such columns, or cannot be read.
    """
    finder = Finder(folder, skipped)
    home = pathlib.PurePosixPath(name).parent
    for picture, values in _READERS[pathlib.PurePosixPath(name).suffix](folder, name, skipped):
        if found := finder.find((home / picture).as_posix()):
            yield from with_captions(*found, values, skipped)


Row = tuple[str, dict[str, Any]]
"""Name of a picture, and what holds its captions."""


def _jsonl(folder: pathlib.Path, name: str, skipped: Skipped) -> Iterator[Row]:
    for where, values in json_lines(folder / name, skipped):
        names = [values[key] for key in NAME_KEYS if isinstance(values.get(key), str)]
        if names:
            yield names[0], values
        else:
            skipped.add("malformed line", where)


def _csv(folder: pathlib.Path, name: str, skipped: Skipped) -> Iterator[Row]:
    path = folder / name
    with open_text(path) as file:
        separator = _separator(file.readline())
        file.seek(0)
        header: list[str] = []
        for number, row in csv_rows.read_rows(file, is_picture, separator):
            if not header and row is not None:
                header = [title.strip().lower() for title in row]
                columns = _columns(path, header)
            elif row is None or len(row) < len(header):
                if row != []:
                    skipped.add("malformed line", f"{pathlib.Path(name).name}:{number}")
            else:
                yield row[header.index(columns[0])], {columns[1]: row[header.index(columns[1])]}


def _separator(header: str) -> str:
    return max(SEPARATORS, key=header.count)  # the first where none is there


def _parquet(folder: pathlib.Path, name: str, skipped: Skipped) -> Iterator[Row]:
    from pyarrow import parquet  # comes with tensorflow-datasets

    path = folder / name
    try:
        file = parquet.ParquetFile(path)
        titles = file.schema_arrow.names
    except Exception as error:  # of Arrow's own kinds, and others on damaged input
        raise UserError(f"{path} cannot be read as Parquet ({error}): write it anew.") from error
    columns = _columns(path, titles)
    try:
        for batch in file.iter_batches(columns=[*columns]):
            for number, row in enumerate(batch.to_pylist()):
                if isinstance(row[columns[0]], str):
                    yield row[columns[0]], {columns[1]: row[columns[1]]}
                else:
                    skipped.add("malformed line", f"{path.name}: row {number}")
    except Exception:  # as above; the rows before are good
        skipped.add("caption file not read", f"{name} (the rest of it is damaged)")


def _columns(path: pathlib.Path, titles: list[str]) -> tuple[str, str]:
    """Of the names and of the captions."""
    name = next((key for key in NAME_KEYS if key in titles), None)
    caption = next((key for key in CAPTION_KEYS if key in titles), None)
    if name is None or caption is None:
        raise UserError(
            f"The columns of {path} must be file_name and caption, by these names, but are "
            f"{', '.join(titles)[:100]!r}: write those in its first line."
        )
    return name, caption


_READERS: dict[str, Callable[[pathlib.Path, str, Skipped], Iterator[Row]]] = {
    ".jsonl": _jsonl,
    ".csv": _csv,
    ".parquet": _parquet,
}
