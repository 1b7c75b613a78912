"""Any picture file in: sRGB of its own size, or of one size as the networks read it.

Every picture of the user's comes through `decode_image`: those of folders, shards, TFDS and the
command line are so decoded alike.
"""

import contextlib
import io
import os
import pathlib
import warnings
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from babeldraw.data.picture_files import colour, openers
from babeldraw.data.picture_files.framing import frame
from babeldraw.data.picture_files.pixel_budget import PixelBudget
from babeldraw.data.picture_files.view import PLAIN, Needed, View
from babeldraw.errors import UserError
from babeldraw.files import OUTPUT, take_outputs
from babeldraw.sizes import Size

MAX_PIXELS = 100_000_000
"""Larger pictures are refused: a few kilobytes can unpack to more than the memory."""

# Not all that Pillow knows: its EPS reader runs Ghostscript, and its TGA reader takes noise.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF")

_pixel_budget = PixelBudget(2 * MAX_PIXELS)  # of all threads, at about 12 bytes a pixel

NO_HEIF = "HEIC without pillow-heif"
HEAD = 4096  # bytes that tell what a file is


class UnreadableImage(UserError):
    """A file that is no picture we can read.

    Attributes:
      path: the file.
      kind: `unreadable file`, `empty`, `not an image`, `too large`, `damaged`, `unsupported` or
        `NO_HEIF`.
      reason: what was found, as the end of a sentence.
    """

    def __init__(self, path: str | os.PathLike[str], kind: str, reason: str) -> None:
        super().__init__(f"{path} cannot be read ({kind}): {reason}; leave it out or save it anew.")
        self.path, self.kind, self.reason = str(path), kind, reason


def read_image(
    path: str | os.PathLike[str],
    *,
    background: tuple[int, int, int] = (255, 255, 255),
    needed: Needed | None = None,
) -> UInt8[np.ndarray, "height width 3"]:
    """Decodes a picture as sRGB, upright as its EXIF orientation and colours as its profile say.

    Of an animation, the first frame. 16-bit greys are scaled to 8 bits. Drawings (SVG) are
    `openers.SVG_SIDE` pixels long. What is damaged or too large in a PNG's metadata is ignored.

    Args:
      background: RGB that shows through where the picture is transparent; white by default.
      needed: a JPEG may come half, a quarter or an eighth as large, if that is enough: so large it
        is decoded several times faster. None: as it is.

    Raises:
      UnreadableImage: the file cannot be opened, is empty, truncated, damaged or no picture, has
        more than `MAX_PIXELS` pixels, or holds numbers that are no colours.
    """
    try:
        with open(path, "rb") as file:
            return decode_image(file, path, background=background, needed=needed)
    except OSError as error:
        raise UnreadableImage(path, "unreadable file", error.strerror or str(error)) from error
    except ValueError as error:  # a name with a zero byte
        raise UnreadableImage(path, "damaged", str(error)) from error


def decode_image(
    file: BinaryIO,
    path: str | os.PathLike[str],
    *,
    background: tuple[int, int, int] = (255, 255, 255),
    needed: Needed | None = None,
) -> UInt8[np.ndarray, "height width 3"]:
    """As `read_image`, of an open file; `path` is what errors call it.

    Raises:
      UnreadableImage: as `read_image`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata; what matters is an error below
        try:
            return _decode(path, file, background, needed)
        except UnreadableImage:
            raise
        except Image.DecompressionBombError as error:
            raise _too_large(path, str(error)) from error
        except MemoryError as error:
            raise _too_large(path, "it does not fit in memory") from error
        except Exception as error:  # Pillow's readers let anything out on damaged input
            if isinstance(error, OSError) and error.strerror:  # the system's, not Pillow's
                raise UnreadableImage(path, "unreadable file", error.strerror) from error
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UnreadableImage(path, "damaged", reason) from error


def _decode(
    path: str | os.PathLike[str],
    file: BinaryIO,
    background: tuple[int, int, int],
    needed: Needed | None,
) -> np.ndarray:
    head = file.read(HEAD)
    if not head:
        raise UnreadableImage(path, "empty", "it has 0 bytes")
    file.seek(0)
    if openers.is_svg(head):
        return _pixels(path, io.BytesIO(openers.draw_svg(file.read())), background)
    heic = openers.is_heic(head)
    if heic and not openers.can_read_heic():
        raise UnreadableImage(path, NO_HEIF, "pip install 'babeldraw[pictures]' reads it")
    try:
        return _pixels(path, file, background, needed=needed)
    except Exception as error:
        if heic and isinstance(error, UnreadableImage) and error.kind == "not an image":
            raise UnreadableImage(path, "damaged", "of HEIC it has the beginning alone") from error
        if not openers.is_png(head):
            raise
        file.seek(0)  # Pillow refuses much or damaged metadata, of whole pixels, too
        data, profile = openers.without_metadata(file.read())
        return _pixels(path, io.BytesIO(data), background, profile)


def _pixels(
    path: str | os.PathLike[str],
    file: BinaryIO,
    background: tuple[int, int, int],
    profile: bytes | None = None,
    needed: Needed | None = None,
) -> np.ndarray:
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]
    try:
        opened = Image.open(file, formats=formats)
    except UnidentifiedImageError as error:
        reason = f"it does not begin as any of {', '.join(formats)}"
        raise UnreadableImage(path, "not an image", reason) from error
    pixels = opened.width * opened.height
    if pixels > MAX_PIXELS:
        raise _too_large(path, f"it has {opened.width} x {opened.height} pixels")
    with opened, _pixel_budget.taken(pixels):
        if needed is not None:
            times = needed.reduction(opened.height, opened.width)
            opened.draft(None, (opened.width // times, opened.height // times))  # JPEG alone can
        opened.load()
        profile = profile or opened.info.get("icc_profile")
        image: Image.Image = opened
        with contextlib.suppress(Exception):  # damaged metadata: the picture stays as stored
            image = ImageOps.exif_transpose(opened)
        try:
            return colour.to_rgb(image, profile, background)
        except colour.NoColours as error:
            raise UnreadableImage(path, "unsupported", str(error)) from error


def _too_large(path: str | os.PathLike[str], reason: str) -> UnreadableImage:
    return UnreadableImage(path, "too large", f"{reason}, and the limit is {MAX_PIXELS:,} pixels")


def read_framed(
    path: str | os.PathLike[str], size: Size, view: View = PLAIN
) -> UInt8[np.ndarray, "rows columns 3"]:
    """A picture as in evaluation on the seqio tasks.

    Raises:
      UnreadableImage: as `read_image`.
    """
    needed = Needed.by(size, view)
    return frame(read_image(path, background=view.colour, needed=needed), size, view)


class ImageFolder:
    """The pictures of a folder and its subfolders, in order of their names, all of one size.

    Iterating yields (path relative to the folder, uint8[rows, columns, 3]), as in evaluation on the
    seqio tasks. What cannot be read is skipped and counted.
    Links to folders are not followed, nor are links to files outside the folder.

    Attributes:
      skipped: relative paths of what the last iteration left out, by kind: those of
        `UnreadableImage`, and `link`, `not a file`, `unreadable folder` and `files.OUTPUT`.
    """

    def __init__(self, folder: str | os.PathLike[str], size: Size, view: View = PLAIN) -> None:
        """Lists the folder.

        Raises:
          UserError: it is not a folder.
        """
        self._root = pathlib.Path(folder)
        if not self._root.is_dir():
            raise UserError(f"{folder} is not a folder; give one that holds pictures.")
        self._size, self._view = size, view
        self._left_out: list[tuple[str, str]] = []  # kind, name
        self._names = sorted(self._list())
        self.skipped: dict[str, list[str]] = {}

    def __len__(self) -> int:
        """How many files there are, readable or not."""
        return len(self._names)

    def __iter__(self) -> Iterator[tuple[str, UInt8[np.ndarray, "rows columns 3"]]]:
        self.skipped = {}
        for kind, name in self._left_out:
            self._skip(kind, name)
        for name in self._names:
            try:
                image = read_framed(self._root / name, self._size, self._view)
            except UnreadableImage as error:
                self._skip(error.kind, name)
                continue
            yield name, image

    def _skip(self, kind: str, name: str) -> None:
        self.skipped.setdefault(kind, []).append(name)

    def _list(self) -> Iterator[str]:
        root = self._root.resolve()

        def cannot_list(error: OSError) -> None:
            folder = os.path.relpath(error.filename, root)
            self._left_out.append(("unreadable folder", folder))

        for folder, subfolders, files in os.walk(root, onerror=cannot_list):
            for drawn in take_outputs(folder, subfolders):
                path = pathlib.Path(folder, drawn)
                self._left_out.append((OUTPUT, path.relative_to(root).as_posix()))
            for entry in sorted([*subfolders, *files]):
                path = pathlib.Path(folder, entry)
                name = path.relative_to(root).as_posix()
                if path.is_symlink() and not _stays_inside(path, root):
                    self._left_out.append(("link", name))
                elif entry in files and path.is_file():
                    yield name
                elif entry in files:  # a pipe, say, which would never end
                    self._left_out.append(("not a file", name))


def _stays_inside(link: pathlib.Path, root: pathlib.Path) -> bool:
    """Whether a link leads to a file in `root`."""
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):  # dangling, or a circle
        return False
    return target.is_relative_to(root) and not target.is_dir()
