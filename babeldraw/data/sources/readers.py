"""Captions of picture files: COCO's JSON, Localized Narratives' JSONL, and what readers share.

A reader lists entries (`pictures.Entry`) and hands to `pictures.Skipped` what it must leave out. It
raises `UserError` where nothing can be read at all, and nothing else, whatever the files contain.
Bytes that are no UTF-8 come through as surrogates, so that only the captions that have them fall.
"""

import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from babeldraw.data.sources.pictures import Entry, Place, Skipped
from babeldraw.errors import UserError
from babeldraw.files import OUTPUT, take_outputs

_ENDINGS = (
    "jpg jpeg jpe jfif pjpeg pjp png apng webp gif bmp dib tif tiff jp2 j2k avif ppm pgm pnm "
    "heic heif hif svg"
)
SUFFIXES = frozenset(f".{ending}" for ending in _ENDINGS.split(" "))
"""Of picture files that are found by their own name; those named in a captions file need none."""

CAPTION_KEYS = ("caption", "captions", "text", "txt")
NAME_KEYS = ("file_name", "image")


def read_coco(file: pathlib.Path, folder: pathlib.Path, skipped: Skipped) -> Iterator[Entry]:
    """COCO's captions JSON: ``images`` (id, file_name) and ``annotations`` (image_id, caption).

    Raises:
      UserError: the file cannot be read, or is of another form.
    """
    try:
        with open_text(file) as opened:
            content = json.load(opened)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is no JSON ({error}): fetch or make it again.") from error
    keys = ("images", "annotations")
    lists: list[Any] = [content.get(key) if isinstance(content, dict) else None for key in keys]
    if not all(isinstance(entries, list) for entries in lists):
        raise UserError(
            f"{file} has no lists `images` and `annotations`: give one of COCO's captions files."
        )
    finder = Finder(folder, skipped)
    images: dict[int | str, tuple[str, Place] | None] = {}  # None: counted already
    for number, image in enumerate(lists[0]):
        match image:
            case {"id": int() | str() as identity, "file_name": str() as name}:
                images[identity] = finder.find(name)
            case _:
                skipped.add("malformed line", f"{file.name}: image {number}")
    for number, annotation in enumerate(lists[1]):
        match annotation:
            case {"image_id": int() | str() as identity, "caption": str() as caption}:
                if identity not in images:
                    skipped.add("missing picture", f"{file.name}: image_id {identity}")
                elif found := images[identity]:
                    yield found[0], caption, found[1]
            case _:
                skipped.add("malformed line", f"{file.name}: annotation {number}")


def read_narratives(file: pathlib.Path, folder: pathlib.Path, skipped: Skipped) -> Iterator[Entry]:
    """Localized Narratives' JSONL: ``image_id`` and ``caption`` a line.

    A picture's name is the id with a suffix. An id of digits may be padded with zeros, or follow
    an underscore, as in COCO_train2014_000000137576.jpg.
    """
    finder = Finder(folder, skipped)
    by_id: dict[str, str] = {}
    for name in list_pictures(folder, skipped):
        stem = pathlib.PurePosixPath(name).stem
        number = stem.split("_")[-1]
        if number.isdigit():
            by_id.setdefault(number.lstrip("0"), name)
        by_id[stem] = name
    for where, value in json_lines(file, skipped):
        identity = value.get("image_id")
        if not isinstance(identity, str | int):
            skipped.add("malformed line", where)
        elif (named := by_id.get(str(identity), by_id.get(str(identity).lstrip("0")))) is None:
            skipped.add("missing picture", f"image_id {identity}")
        elif found := finder.find(named):
            yield from with_captions(*found, value, skipped)


class Finder:
    """Finds files by the names that captions give, inside a folder only."""

    def __init__(self, folder: pathlib.Path, skipped: Skipped) -> None:
        self._root, self._skipped = folder.resolve(), skipped

    def find(self, name: str, as_name: str | None = None) -> tuple[str, Place] | None:
        """Path relative to the folder and the file; or None, counted under `as_name`."""
        try:
            path = (self._root / name).resolve()
            inside, exists = path.is_relative_to(self._root), path.is_file()
        except (OSError, ValueError, RuntimeError):  # too long, a zero byte, a circle of links
            inside, exists = True, False
        if inside and exists:
            return path.relative_to(self._root).as_posix(), Place(str(path))
        kind = "missing picture" if inside else "path outside the folder"
        self._skipped.add(kind, as_name or name)
        return None


CONTACT_SHEET = "contact_sheet.png"
"""What `babeldraw data inspect` writes."""


def list_files(folder: pathlib.Path, skipped: Skipped) -> Iterator[str]:
    """Relative paths of the files that are not hidden, in order; follows no folder's link.

    What Babeldraw drew or trained in a subfolder is left out, and counted; so are contact sheets.
    """
    names = []
    for parent, subfolders, files in os.walk(folder):
        relative = pathlib.Path(parent).relative_to(folder)
        for drawn in take_outputs(parent, subfolders):
            skipped.add(OUTPUT, (relative / drawn).as_posix())
        for file in files:
            name = (relative / file).as_posix()
            if file == CONTACT_SHEET:
                skipped.add(OUTPUT, name)
            elif not file.startswith("."):
                names.append(name)
    return iter(sorted(names))


def list_pictures(folder: pathlib.Path, skipped: Skipped) -> Iterator[str]:
    """Of `list_files` those with a picture's suffix."""
    return filter(is_picture, list_files(folder, skipped))


def is_picture(name: str) -> bool:
    """Whether a file's name has a suffix of `SUFFIXES`, in any case."""
    return pathlib.PurePosixPath(name).suffix.lower() in SUFFIXES


def json_lines(path: pathlib.Path, skipped: Skipped) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where it stands, and each JSON object of a file with one a line."""
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            where = f"{path.name}:{number}"
            value = parse_json(line)
            if isinstance(value, dict):
                yield where, value
            else:
                skipped.add("malformed line", where)


def parse_json(text: str) -> Any:
    """The value, or None where it is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def with_captions(
    name: str, place: Place, value: dict[str, Any], skipped: Skipped
) -> Iterator[Entry]:
    """An entry for each caption under the first of `CAPTION_KEYS`, or one without a caption."""
    captions = next((value[key] for key in CAPTION_KEYS if value.get(key) is not None), None)
    if isinstance(captions, str):
        captions = [captions]
    if not isinstance(captions, list) or not captions:
        captions = [None]
    for caption in captions:
        yield name, caption if isinstance(caption, str) else None, place


def open_text(path: pathlib.Path) -> Any:
    """A file of UTF-8, other bytes as surrogates.

    Raises:
      UserError: it cannot be read.
    """
    try:
        return open(path, encoding="utf-8-sig", errors="surrogateescape", newline="")
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): bring it back from a copy."
        ) from error
