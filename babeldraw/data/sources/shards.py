"""img2dataset's shards: WebDataset tar files, and Parquet files with the pictures inside.

Pictures are read by their offset in a file, in any order. A Parquet file's are not to be had so:
they are copied once to a plain file in the cache.
"""

import fnmatch
import hashlib
import os
import pathlib
import re
import tarfile
from collections.abc import Iterator
from typing import Any

from babeldraw.data.sources.pictures import Entry, Place, Skipped
from babeldraw.data.sources.readers import CAPTION_KEYS, SUFFIXES, parse_json, with_captions
from babeldraw.errors import UserError
from babeldraw.files import cache_dir, files_under, read_range, version, written_whole

MAX_TEXT = 2**20  # bytes of a member with captions


def read_webdataset(folder: pathlib.Path, skipped: Skipped) -> Iterator[Entry]:
    """All .tar files of a folder: KEY.jpg with KEY.txt, or with KEY.json's caption.

    KEY.cls is the picture's class, a number or a name.

    Raises:
      UserError: the folder has no .tar file.
    """
    for path in find_shards(folder, ".tar", skipped):
        shard = shard_name(path, folder)
        members: dict[str, dict[str, Place | bytes]] = {}
        try:
            with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
                size = file.seek(0, os.SEEK_END)  # the archive finds its place again
                for member in archive:
                    if member.isreg() and member.offset_data + member.size <= size:
                        parent, _, base = member.name.rpartition("/")
                        key, dot, suffix = base.partition(".")
                        if key and dot:
                            part = _part(archive, member, str(path), suffix.lower())
                            parts = members.setdefault(f"{parent}/{key}" if parent else key, {})
                            if f".{suffix.lower()}" in parts:
                                skipped.add("name taken", f"{shard}/{member.name}")
                            parts.setdefault(f".{suffix.lower()}", part)
                    elif member.isreg():
                        skipped.add("damaged shard", f"{shard}: {member.name}")
                end = Place(str(path), archive.offset, tarfile.BLOCKSIZE)
            if _bytes(end) != bytes(tarfile.BLOCKSIZE):  # tarfile stops at some damage in silence
                skipped.add("damaged shard", shard)
        except Exception:  # a damaged header fails in many ways; what came before it is good
            skipped.add("damaged shard", shard)
        for key, parts in members.items():
            yield from _member_captions(f"{shard}/{key}", parts, skipped)


def _part(
    archive: tarfile.TarFile, member: tarfile.TarInfo, path: str, suffix: str
) -> Place | bytes:
    """Where a member is; of a text, the text: in a bucket each would be a request of its own."""
    text = archive.extractfile(member) if suffix in ("txt", "json", "cls") else None
    return Place(path, member.offset_data, member.size) if text is None else text.read(MAX_TEXT)


def _member_captions(
    name: str, parts: dict[str, Place | bytes], skipped: Skipped
) -> Iterator[Entry]:
    image = next((place for suffix, place in parts.items() if suffix in SUFFIXES), None)
    if not isinstance(image, Place):
        kind = _without_picture(parse_json(_text(parts.get(".json"))))
        skipped.add(kind, name)
        return
    label = " ".join(_text(parts.get(".cls")).split())
    if ".txt" in parts:
        yield name, _text(parts[".txt"]), image, label
        return
    value = parse_json(_text(parts.get(".json")))
    for entry in with_captions(name, image, value if isinstance(value, dict) else {}, skipped):
        yield *entry[:3], label


def _without_picture(value: Any) -> str:
    """img2dataset leaves the description of what it could not fetch."""
    status = value.get("status") if isinstance(value, dict) else None
    return "missing picture" if status in (None, "success") else "failed download"


def _text(part: Place | bytes | None) -> str:
    return part.decode("utf-8", "surrogateescape") if isinstance(part, bytes) else ""


def _bytes(place: Place) -> bytes:
    return read_range(place.file, place.offset, min(place.size or 0, MAX_TEXT))


def read_parquet(folder: pathlib.Path, skipped: Skipped) -> Iterator[Entry]:
    """All .parquet files of a folder, with a column of picture files and one of captions.

    The picture's column is named ``jpg``, ``png``, ``webp`` or ``image`` (bytes, or a struct with
    ``bytes``); the captions' ``caption``, ``captions``, ``text`` or ``txt``. The bytes are copied
    to BABELDRAW_CACHE_DIR on first use.

    Raises:
      UserError: the folder has no .parquet file, or the cache cannot be written.
    """
    for path in find_shards(folder, ".parquet", skipped):
        with path.open("rb") as file:
            yield from _parquet_entries(path, file, shard_name(path, folder), skipped)


def _parquet_entries(path: Any, opened: Any, shard: str, skipped: Skipped) -> Iterator[Entry]:
    from pyarrow import parquet  # comes with tensorflow-datasets

    try:
        file = parquet.ParquetFile(opened)
        names = file.schema_arrow.names
    except Exception:  # of Arrow's own kinds, and others on damaged input
        skipped.add("damaged shard", shard)
        return
    image = next((key for key in ("jpg", "png", "webp", "image") if key in names), None)
    caption = next((key for key in CAPTION_KEYS if key in names), None)
    if image is None or caption is None:
        skipped.add("damaged shard", f"{shard} (columns {', '.join(names)[:100]})")
        return
    copy = _Copy(path)
    with copy:
        columns = [image, caption, *(key for key in ("key", "status") if key in names)]
        rows = _rows(file, columns, shard, skipped)
        for number, row in enumerate(rows):
            name = f"{shard}/{row.get('key') or number}"
            data = row[image].get("bytes") if isinstance(row[image], dict) else row[image]
            if not isinstance(data, bytes):
                skipped.add(_without_picture(row), name)
                continue
            place = copy.add(data)
            captions = row[caption]
            if isinstance(captions, bytes):
                captions = captions.decode("utf-8", "surrogateescape")
            yield from with_captions(name, place, {"caption": captions}, skipped)


def _rows(file: Any, columns: list[str], shard: str, skipped: Skipped) -> Iterator[dict[str, Any]]:
    try:
        for batch in file.iter_batches(batch_size=64, columns=columns):
            yield from batch.to_pylist()
    except Exception:  # as above; the rows before are good
        skipped.add("damaged shard", shard)


class _Copy:
    """The pictures of a Parquet file end to end in a file of the cache, written once."""

    def __init__(self, path: Any) -> None:
        digest = hashlib.sha256(os.fsencode(version(path))).hexdigest()[:16]
        self.path = cache_dir() / "parquet" / f"{path.stem}-{digest}.bin"
        advice = "set BABELDRAW_CACHE_DIR to a folder with room for the pictures"
        self._writing = None if self.path.exists() else written_whole(self.path, advice)
        self._end = 0

    def __enter__(self) -> None:
        self._file = self._writing.__enter__() if self._writing else None

    def __exit__(self, *error: Any) -> None:
        if self._writing:
            self._writing.__exit__(*error)

    def add(self, data: bytes) -> Place:
        """Where these bytes are from the end of the loop on."""
        if self._file:
            self._file.write(data)
        place = Place(str(self.path), self._end, len(data))
        self._end += len(data)
        return place


def find_shards(folder: pathlib.Path, suffix: str, skipped: Skipped) -> list[pathlib.Path]:
    """Files of a folder and its subfolders by suffix, or by what stands before ``-00000-of-``.

    Of numbered ones (``00000-of-00004``) those that are not there are counted.

    Raises:
      UserError: there is none, or a folder has some of several sets.
    """
    found = sorted(
        path
        for path in files_under(folder)
        if fnmatch.fnmatchcase(path.name, f"*{suffix}")
        or fnmatch.fnmatchcase(path.name, f"*{suffix}-*-of-*")
        if not path.name.startswith(".")
    )
    if not found:
        raise UserError(f"{folder} has no {suffix} file: give the folder that holds the shards.")
    numbered = [(path, match) for path in found if (match := _NUMBERED.search(path.name))]
    sets: dict[tuple[pathlib.Path, str], dict[str, set[int]]] = {}
    for path, match in numbered:
        others = f"{path.name[: match.start()]}*{path.name[match.end() :]}"
        numbers = sets.setdefault((path.parent, others), {}).setdefault(match["count"], set())
        numbers.add(int(match["number"]))
    for (parent, others), counts in sets.items():
        if len(counts) > 1:
            raise UserError(
                f"{parent} has shards of {' and of '.join(sorted(counts))} ({others}): they are of "
                "sets written at different times; remove those of the older one."
            )
        ((count, numbers),) = counts.items()
        for number in sorted(set(range(int(count))) - numbers):
            lost = parent / others.replace("*", f"{number:0{len(count)}d}-of-{count}")
            skipped.add("missing shard", shard_name(lost, folder))
    return found


_NUMBERED = re.compile(r"(?P<number>\d{5,})-of-(?P<count>\d{5,})")


def shard_name(path: pathlib.Path, folder: pathlib.Path) -> str:
    """What begins the names of a shard's pictures: shards of two subfolders may be called alike."""
    return path.relative_to(folder).as_posix()
