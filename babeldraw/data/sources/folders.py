"""Captions beside the pictures of a plain folder: in one file for all, or a file a picture.

See `read_folder` for the layouts. What is of none of them is counted, too: a picture without a
caption under the name of what stands beside it, a caption under that of the file it belongs to.
"""

import pathlib
from collections.abc import Iterator

from babeldraw.data.sources import csv_rows
from babeldraw.data.sources.pictures import Entry, Skipped
from babeldraw.data.sources.readers import (
    CAPTION_KEYS,
    NAME_KEYS,
    Finder,
    is_picture,
    json_lines,
    list_files,
    list_pictures,
    open_text,
    with_captions,
)
from babeldraw.errors import UserError

CAPTION_FILES = ("captions.jsonl", "captions.csv", "metadata.jsonl", "metadata.csv")
"""Names of files with the captions of all pictures; the first that is there is read."""

SIDECARS = (".txt", ".caption")
"""Endings of files with the captions of one picture; the first that is there is read."""

TABLES = frozenset((".json", ".jsonl", ".csv", ".tsv", ".parquet"))


def read_folder(folder: pathlib.Path, skipped: Skipped) -> Iterator[Entry]:
    """Pictures with one of `CAPTION_FILES`, else with one of `SIDECARS` beside each.

    A line of a .jsonl is ``{"file_name": ..., "caption": text or list of texts}``, where ``text``
    is as good as ``caption``; a .csv has a header with these columns; of a sidecar, each line is a
    caption. Names are relative to the folder. A picture may come up again: it then has several
    captions. A picture that is not named in the file for all comes without a caption.
    """
    for name in CAPTION_FILES:
        if (folder / name).is_file():
            read = _read_jsonl if name.endswith(".jsonl") else _read_csv
            return _and_the_rest(read(folder, name, skipped), folder, skipped)
    return _read_sidecars(folder, skipped)


def _and_the_rest(
    entries: Iterator[Entry], folder: pathlib.Path, skipped: Skipped
) -> Iterator[Entry]:
    named = set()
    for entry in entries:
        named.add(entry[0])
        yield entry
    finder = Finder(folder, skipped)
    for name in list_pictures(folder, skipped):
        if name not in named and (found := finder.find(name)) and found[0] not in named:
            yield found[0], None, found[1]


def _read_jsonl(folder: pathlib.Path, name: str, skipped: Skipped) -> Iterator[Entry]:
    finder = Finder(folder, skipped)
    for where, value in json_lines(folder / name, skipped):
        names = [value[key] for key in NAME_KEYS if isinstance(value.get(key), str)]
        if not names:
            skipped.add("malformed line", where)
        elif found := finder.find(names[0]):
            yield from with_captions(*found, value, skipped)


def _read_csv(folder: pathlib.Path, name: str, skipped: Skipped) -> Iterator[Entry]:
    finder = Finder(folder, skipped)
    path = folder / name
    with open_text(path) as file:
        rows = csv_rows.read_rows(file, is_picture)
        header: list[str] = []
        for number, row in rows:
            if not header and row is not None:
                header = [title.strip().lower() for title in row]
                caption = next((key for key in CAPTION_KEYS if key in header), None)
                if "file_name" not in header or caption is None:
                    raise UserError(
                        f"The first line of {path} must name the columns file_name and caption, "
                        f"with a comma between, but is {','.join(row)[:100]!r}: write it there."
                    )
                columns = header.index("file_name"), header.index(caption)
            elif row is None or len(row) < len(header):
                if row != []:
                    skipped.add("malformed line", f"{name}:{number}")
            elif found := finder.find(row[columns[0]]):
                yield found[0], row[columns[1]], found[1]


def _read_sidecars(folder: pathlib.Path, skipped: Skipped) -> Iterator[Entry]:
    finder = Finder(folder, skipped)
    beside: dict[str, list[str]] = {}  # names by what stands before their endings
    for name in list_files(folder, skipped):
        beside.setdefault(_stem(name), []).append(name)
    captioned = False
    for stem, names in beside.items():
        pictures = [name for name in names if is_picture(name)]
        sidecar = next((stem + ending for ending in SIDECARS if stem + ending in names), None)
        others = [name for name in names if not is_picture(name) and name != sidecar]
        if sidecar and not pictures:
            for other in others:
                skipped.add("ending not read", other)
        captioned |= bool(sidecar and pictures)
        for name in pictures:
            if sidecar is None:
                for other in [*others, *beside.get(name, ())]:
                    skipped.add("caption file not read", other)
            yield from _captions_beside(name, sidecar, finder)
    if not captioned:  # then perhaps there is one file for all, of another form
        for name in (name for names in beside.values() for name in names):
            if pathlib.PurePosixPath(name).suffix.lower() in TABLES:
                skipped.add("caption file not read", name)


def _captions_beside(name: str, sidecar: str | None, finder: Finder) -> Iterator[Entry]:
    found = finder.find(name)
    if found is None:
        return
    if sidecar is None:
        yield name, None, found[1]
    elif text_file := finder.find(sidecar, as_name=name):
        try:
            text = pathlib.Path(text_file[1].file).read_text("utf-8-sig", "surrogateescape")
        except OSError:
            yield name, None, found[1]
            return
        lines = [line for line in text.splitlines() if line.strip()] or [""]
        yield from ((name, line, found[1]) for line in lines)


def _stem(name: str) -> str:
    return name.removesuffix(pathlib.PurePosixPath(name).suffix)
