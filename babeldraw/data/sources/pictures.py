"""Pictures with captions from anywhere: what is known of them before they are read.

What cannot be used is left out, counted by kind and named; see `Skipped`.
"""

import dataclasses
import hashlib
import io
import logging
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from jaxtyping import UInt8

from babeldraw.data.picture_files.images import NO_HEIF, UnreadableImage, decode_image, read_image
from babeldraw.data.picture_files.view import PLAIN, Needed
from babeldraw.data.sources import records
from babeldraw.files import read_range

VALIDATION_SHARE = 0.02
"""Of the pictures, by a hash of their names."""

SMALLEST_VALIDATION = 32
"""Pictures, so that a small set can be evaluated in batches; but at most a fifth, or one."""

SAID = 5  # names of each kind that go to the log

_log = logging.getLogger(__name__)


ADVICE = {
    NO_HEIF: "pip install 'babeldraw[pictures]' reads them",
    "ending not read": "save them as PNG or JPEG",
    "caption file not read": "docs/own_pictures.md has the names and forms that are",
}
"""What helps, by kind of what is left out."""


class Skipped:
    """What was left out.

    Attributes:
      kinds: names by kind, in the order in which they were met, each once. Kinds are those of
        `UnreadableImage` and `no caption`, `empty caption`, `invalid UTF-8`, `malformed line`,
        `missing picture`, `caption without a picture`, `ending not read`, `caption file not read`,
        `path outside the folder`, `missing shard`, `damaged shard`, `damaged record`, `failed
        download`, `name taken` (by another picture), `in an evaluation set`, `in no class folder`,
        `no class`, `class not in training`.
    """

    def __init__(self) -> None:
        self.kinds: dict[str, dict[str, None]] = {}

    def add(self, kind: str, name: str) -> None:
        """Counts a name; the first few of each kind are logged."""
        names = self.kinds.setdefault(kind, {})
        if name in names:
            return
        names[name] = None
        if len(names) <= SAID:
            more = " (more of this kind are left out in silence)" if len(names) == SAID else ""
            _log.warning("left out, %s: %s%s", _with_advice(kind), printable(name), more)


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a picture's bytes are: a whole file, or a part.

    Attributes:
      file: path of the file.
      offset: where in the file the picture begins, in bytes; or the number of its record.
      size: how many bytes it has; None: all.
      in_record: whether the file is one of ArrayRecord.
    """

    file: str
    offset: int = 0
    size: int | None = None
    in_record: bool = False

    @property
    def whole(self) -> bool:
        """Whether the picture is all of the file."""
        return self.size is None and not self.in_record

    def read(self) -> bytes:
        """The bytes.

        Raises:
          OSError: the file cannot be read.
          ValueError: the record is damaged.
        """
        if self.in_record:
            features = records.decode(records.read_one(self.file, self.offset))
            return records.image_of(features) or b""
        return read_range(self.file, self.offset, self.size)


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture and its captions, none of which is empty.

    Attributes:
      name: tells it from the others of its source; the split depends on names alone.
      label: the name of its class; empty where it has none.
    """

    name: str
    captions: tuple[str, ...]
    place: Place
    label: str = ""

    def read(
        self, background: tuple[int, int, int] = PLAIN.colour, needed: Needed | None = None
    ) -> UInt8[np.ndarray, "height width 3"]:
        """Decodes it, laid on `background` where it is transparent, as large as `needed`.

        Raises:
          UnreadableImage: as `read_image`.
        """
        if self.place.whole:
            return read_image(self.place.file, background=background, needed=needed)
        try:
            data = self.place.read()
        except OSError as error:
            reason = error.strerror or str(error)
            raise UnreadableImage(self.name, "unreadable file", reason) from error
        except ValueError as error:
            raise UnreadableImage(self.name, "damaged", str(error)) from error
        return decode_image(io.BytesIO(data), self.name, background=background, needed=needed)


Entry = tuple[str, str | None, Place] | tuple[str, str | None, Place, str]
"""Name of a picture, one caption as it was found (None: there is none), where the picture is; and
the name of its class, if it has one."""

Reader = Callable[[Skipped], Iterable[Entry]]
"""Lists a source; adds to the argument what is no picture with a caption."""


def collect(entries: Iterable[Entry], skipped: Skipped, *, captioned: bool = True) -> list[Picture]:
    """One picture a name, in order of the names, with those of its captions that say something.

    Of several pictures of one name the first stays. Where `captioned` is false, pictures without
    captions stay, too.
    """
    found: dict[str, tuple[Place, list[str]]] = {}
    labels: dict[str, str] = {}
    for name, caption, place, *label in entries:
        text = " ".join((caption or "").split())
        fault = None
        if not text:
            fault = "no caption" if caption is None else "empty caption"
        elif not _is_utf8(text):
            fault = "invalid UTF-8"
        if fault and captioned:
            skipped.add(fault, name)
        elif found.setdefault(name, (place, []))[0] != place:
            skipped.add("name taken", f"{name} of {place.file}")
        elif not fault:
            found[name][1].append(text)
        if label:
            labels.setdefault(name, printable(label[0]))  # it stands in files of names, a line each
    return [
        Picture(name, tuple(captions), place, labels.get(name, ""))
        for name, (place, captions) in sorted(found.items())
    ]


SPLIT_FOLDERS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
"""Names of folders, as Hugging Face's imagefolder knows them, and the splits that they hold."""


def split_pictures(pictures: list[Picture]) -> dict[str, list[Picture]]:
    """Those of the folders that hold them, if all are in such; else by the hashes of their names.

    All of them are when each name begins with one of `SPLIT_FOLDERS`, some with one of training and
    some with another. Without one of validation, that is taken out of training by hashes.
    """
    if not in_split_folders([picture.name for picture in pictures]):
        return _split_by_hash(pictures)
    folders: dict[str, list[Picture]] = {}
    for picture in pictures:
        folders.setdefault(str(_split_folder(picture.name)), []).append(picture)
    if "validation" not in folders:
        folders |= _split_by_hash(folders["train"])
    return {split: folders[split] for split in ("train", "validation", "test") if split in folders}


def in_split_folders(names: Iterable[str]) -> bool:
    """Whether the folders that pictures of these names are in say their splits."""
    found = {_split_folder(name) for name in names}
    return None not in found and "train" in found and len(found) > 1


def _split_folder(name: str) -> str | None:
    return SPLIT_FOLDERS.get(name.partition("/")[0].lower())


def _split_by_hash(pictures: list[Picture]) -> dict[str, list[Picture]]:
    """`VALIDATION_SHARE` of them for validation, in small sets `SMALLEST_VALIDATION` pictures.

    Those with the smallest hashes. Where `SMALLEST_VALIDATION` of them are below the share anyway,
    a name's split does not depend on the other pictures, so that the set may grow: all but certain
    of sets beyond 3,000 (a chance of 2e-5 that it is not so). Of a name with `//`, which no path
    has, what stands before it counts: pictures of one thing are in one split.
    """
    hashes = [_fraction(picture.name.partition("//")[0]) for picture in pictures]
    border = VALIDATION_SHARE
    if len(pictures) > 1:
        smallest = max(1, min(SMALLEST_VALIDATION, len(pictures) // 5))
        border = max(border, np.nextafter(sorted(hashes)[smallest - 1], 1.0))
    splits: dict[str, list[Picture]] = {"train": [], "validation": []}
    for picture, value in zip(pictures, hashes, strict=True):
        splits["validation" if value < border else "train"].append(picture)
    return splits


def sorted_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Each of the names that are not empty once, in order; numbers as numbers."""
    found = {*names} - {""}
    numbers = all(name.isdecimal() for name in found)
    return tuple(sorted(found, key=lambda name: (int(name) if numbers else 0, name)))


def printable(name: str) -> str:
    """A name that any terminal can print: what is no UTF-8 is escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)


def named(skipped: Skipped, limit: int = 10) -> Iterator[str]:
    """A line a kind: how many, and the first few names."""
    for kind, names in sorted(skipped.kinds.items()):
        first = [printable(name) for name in list(names)[:limit]]
        rest = f" and {len(names) - limit} more" if len(names) > limit else ""
        yield f"{len(names)} {_with_advice(kind)}: {', '.join(first)}{rest}"


def in_short(skipped: Skipped) -> str:
    """How many of each kind, and a name of each."""
    return ", ".join(
        f"{len(names)} {kind} such as {printable(next(iter(names)))}"
        for kind, names in skipped.kinds.items()
    )


def _with_advice(kind: str) -> str:
    return f"{kind} ({ADVICE[kind]})" if kind in ADVICE else kind


def _fraction(name: str) -> float:
    """In [0, 1), from a hash."""
    return int.from_bytes(hashlib.sha256(encode_name(name)).digest()[:6], "big") / 2**48


def encode_name(name: str) -> bytes:
    """UTF-8; a byte that was none comes as the three bytes of its surrogate."""
    return name.encode("utf-8", "surrogatepass")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
