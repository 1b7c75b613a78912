"""Captions beside the pictures of a plain folder: in one file for all, or a file a picture.

See `read_folder` for the layouts, and `read_class_folder` for folders whose names are classes. What
is of none of them is counted, too: a picture without a caption under the name of what stands beside
it, a caption under that of the file it belongs to.
"""

import pathlib
from collections.abc import Iterator, Sequence

from babeldraw.data.sources.pictures import Entry, Place, Skipped, in_split_folders
from babeldraw.data.sources.readers import Finder, is_picture, list_files
from babeldraw.data.sources.tables import read_table

CAPTION_FILES = (
    *("captions.jsonl", "captions.csv"),
    *("metadata.jsonl", "metadata.csv", "metadata.parquet"),
)
"""Names of files with the captions of all pictures; the first that is there is read."""

SIDECARS = (".txt", ".caption")
"""Endings of files with the captions of one picture, in any case; the first of them is read."""

TABLES = frozenset((".json", ".jsonl", ".csv", ".tsv", ".parquet"))

DROPPED_NAME = "dropped.json"
"""What `babeldraw data dedup` writes beside the captions."""


def read_folder(folder: pathlib.Path, skipped: Skipped) -> Iterator[Entry]:
    """Pictures named in a file of `CAPTION_FILES`, or with one of `SIDECARS` beside.

    The file stands in the folder, or, as Hugging Face's imagefolder has it, in subfolders such as
    ``train`` and ``test``; see `tables.read_table`. Of a sidecar, each line is a caption. All other
    pictures come without a caption. Names are relative to the folder.
    """
    files = list(list_files(folder, skipped))
    named = set()
    tables = _caption_files(files, skipped)
    for table in tables:
        for entry in read_table(folder, table, skipped):
            named.add(entry[0])
            yield entry
    yield from _read_sidecars(folder, files, named, bool(tables), skipped)


def read_class_folder(folder: pathlib.Path, skipped: Skipped) -> Iterator[Entry]:
    """As `read_folder`, where each sub-folder is a class of its own, by its name.

    Of nested ones the first level counts, and of a set in ``train/CLASS`` and ``test/CLASS`` (see
    `pictures.split_pictures`) the second. Pictures that are in none are left out.
    """
    entries = list(read_folder(folder, skipped))
    level = 1 if in_split_folders([entry[0] for entry in entries]) else 0
    for name, caption, place, *_ in entries:
        parts = name.split("/")
        if len(parts) > level + 1:
            yield name, caption, place, parts[level]
        else:
            skipped.add("in no class folder", name)


def _caption_files(files: Sequence[str], skipped: Skipped) -> list[str]:
    """One a folder, and none below another."""
    found: dict[pathlib.PurePosixPath, list[str]] = {}
    for file in map(pathlib.PurePosixPath, files):
        if file.name in CAPTION_FILES:
            found.setdefault(file.parent, []).append(file.name)
    read = []
    for home, names in found.items():
        names.sort(key=CAPTION_FILES.index)
        below = any(parent in found for parent in home.parents)
        if not below:
            read.append((home / names[0]).as_posix())
        for name in names[not below :]:
            skipped.add("caption file not read", (home / name).as_posix())
    return read


def _read_sidecars(
    folder: pathlib.Path, files: Sequence[str], named: set[str], tables: bool, skipped: Skipped
) -> Iterator[Entry]:
    """What stands in none of the `tables`."""
    finder, known = Finder(folder, skipped), set(files)
    beside: dict[str, list[str]] = {}  # names by what stands before their endings
    for name in files:
        beside.setdefault(_stem(name), []).append(name)
    captioned = tables
    for stem, names in beside.items():
        pictures = [name for name in names if is_picture(name)]
        sidecars = _sidecars(names)
        sidecar = sidecars[0] if sidecars else None
        others = [name for name in names if not is_picture(name) and name not in sidecars]
        for other in sidecars[1:] if pictures else others if sidecar else ():
            skipped.add("caption file not read" if pictures else "ending not read", other)
        if sidecar and len(names) == 1 and not tables and stem not in known:
            skipped.add("caption without a picture", sidecar)
        for name in pictures:
            found = None if name in named else finder.find(name)
            if found is None or found[0] in named:
                continue
            own = sidecar or next(iter(_sidecars(beside.get(name, ()))), None)  # 1.png.txt
            captioned |= own is not None
            if own is None:
                for other in [*others, *beside.get(name, ())]:
                    skipped.add("caption file not read", other)
            yield from _captions_beside(name, found[1], own, finder)
    if not captioned:  # then perhaps there is one file for all, of another form
        for name in files:
            path = pathlib.PurePosixPath(name)
            if path.suffix.lower() in TABLES and path.name != DROPPED_NAME:
                skipped.add("caption file not read", name)


def _sidecars(names: Sequence[str]) -> list[str]:
    """In the order of `SIDECARS`."""
    found = [name for name in names if pathlib.PurePosixPath(name).suffix.lower() in SIDECARS]
    return sorted(
        found, key=lambda name: SIDECARS.index(pathlib.PurePosixPath(name).suffix.lower())
    )


def _captions_beside(
    name: str, place: Place, sidecar: str | None, finder: Finder
) -> Iterator[Entry]:
    if sidecar is None:
        yield name, None, place
    elif text_file := finder.find(sidecar, as_name=name):
        try:
            text = pathlib.Path(text_file[1].file).read_text("utf-8-sig", "surrogateescape")
        except OSError:
            yield name, None, place
            return
        lines = [line for line in text.splitlines() if line.strip()] or [""]
        yield from ((name, line, place) for line in lines)


def _stem(name: str) -> str:
    return name.removesuffix(pathlib.PurePosixPath(name).suffix)
