"""Builds a set of drawings: fetch its package, render, caption, write records and a manifest."""

import collections
import io
import json
import pathlib
import shutil
import subprocess
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from babeldraw.data.picture_files import images
from babeldraw.data.sets import emoji_build
from babeldraw.data.sets.clipart import COLLECTIONS, Collection, Drawing
from babeldraw.data.sources import records
from babeldraw.data.sources.pictures import Skipped, named
from babeldraw.errors import UserError
from babeldraw.files import written_whole

SHARD_SIZE = 4096
FAINT = 12
"""Drawings whose brightest and darkest level differ by less, of 255, are white on white."""


def fetch(collection: Collection, cache: pathlib.Path) -> pathlib.Path:
    """The folder of the unpacked package, fetched where it is not there yet.

    Nothing is installed, and no script of a package is run.

    Raises:
      UserError: the tools for it are missing, or it cannot be had.
    """
    if collection.npm:
        wanted = {collection.package: collection.version}
        return emoji_build.install(
            cache / "npm_icons", wanted, [f"{collection.package}/package.json"]
        )
    folder = cache / "debian" / f"{collection.package}-{collection.version.replace(':', '_')}"
    if not folder.exists():
        partial = folder.with_name(f".partial-{folder.name}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _run(["apt-get", "download", f"{collection.package}={collection.version}"], partial)
        (package,) = partial.glob("*.deb")
        _run(["dpkg", "-x", package.name, "."], partial)
        package.unlink()
        partial.rename(folder)
    return folder


def _run(command: list[str], folder: pathlib.Path) -> None:
    """A program of Debian's."""
    advice = (
        "unpack that package of Debian bookworm elsewhere (apt-get download, dpkg -x) and give the "
        "folder as --package_dir."
    )
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise UserError(f"There is no {command[0]} here: {advice}") from error
    except subprocess.CalledProcessError as error:
        said = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"`{' '.join(command)}` failed ({said}): {advice}") from error


def build(
    name: str,
    package_dir: pathlib.Path,
    output: pathlib.Path,
    size: int,
    limit: int | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> int:
    """Writes ArrayRecord files and ``manifest.json``; returns how many drawings.

    Args:
      name: one of `COLLECTIONS`.
      limit: take so many drawings at most.

    Raises:
      UserError: the size is out of range, the package is not there, or nothing can be written.
    """
    if not emoji_build.MIN_SIZE <= size <= 1024:
        raise UserError(f"--size is {size}, but must lie between {emoji_build.MIN_SIZE} and 1024.")
    collection, skipped = COLLECTIONS[name], Skipped()
    licences: collections.Counter[str] = collections.Counter()
    rendered = _rendered(collection.read(package_dir, skipped), size, limit, licences, skipped)
    count = shard = 0
    while wrote := _write_shard(output / f"{shard:05d}{records.SUFFIX}", rendered):
        count, shard = count + wrote, shard + 1
        log(f"{count} drawings")
    if not count:
        raise UserError(f"{package_dir} holds no drawing that can be used: give another package.")
    manifest = {
        "package": collection.package,
        "version": collection.version,
        "size": size,
        "drawings": count,
        "licences": dict(sorted(licences.items())),
        "left_out": {kind: len(names) for kind, names in sorted(skipped.kinds.items())},
    }
    with written_whole(output / "manifest.json") as file:
        file.write(json.dumps(manifest, indent=2).encode() + b"\n")
    for line in named(skipped, limit=3):
        log(f"left out: {line}")
    return count


def _write_shard(path: pathlib.Path, rendered: Iterator[bytes]) -> int:
    first = next(rendered, None)
    if first is None:
        return 0

    def shard() -> Iterator[bytes]:
        yield first
        for _, record in zip(range(SHARD_SIZE - 1), rendered, strict=False):
            yield record

    return records.write(path, shard(), "choose another --output")


def _rendered(
    drawings: Iterator[Drawing],
    size: int,
    limit: int | None,
    licences: "collections.Counter[str]",
    skipped: Skipped,
) -> Iterator[bytes]:
    for name, captions, data, licence in drawings:
        if limit is not None and licences.total() >= limit:
            return
        try:
            image = render(data, size)
        except ValueError as error:  # of resvg; UnreadableImage is none, but says its kind
            skipped.add("damaged", f"{name} ({error})")
            continue
        except images.UnreadableImage as error:
            skipped.add(error.kind, name)
            continue
        if int(image.max()) - int(image.min()) < FAINT:
            skipped.add("white on white", name)
            continue
        licences[licence] += 1
        png = io.BytesIO()
        Image.fromarray(image).save(png, "PNG")
        encoded = [" ".join(caption.split()).encode() for caption in captions]
        features = {"image": [png.getvalue()], "captions": encoded, "name": [name.encode()]}
        yield records.encode({**features, "licence": [licence.encode()]})


def render(data: bytes, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """An SVG or PNG file on white, whole, in the middle of a square.

    Raises:
      ValueError: the SVG cannot be drawn.
      UnreadableImage: the picture cannot be read.
    """
    if not data.startswith(b"\x89PNG"):
        data = _draw_svg(data, size)
    image = Image.fromarray(images.decode_image(io.BytesIO(data), "drawing"))
    scale = size / max(image.size)
    sides = [max(1, round(side * scale)) for side in image.size]
    image = image.resize((sides[0], sides[1]), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (size, size), "white")
    square.paste(image, ((size - sides[0]) // 2, (size - sides[1]) // 2))
    return np.array(square)


def _draw_svg(data: bytes, size: int) -> bytes:
    import resvg_py  # here: only building needs it

    try:
        return bytes(
            resvg_py.svg_to_bytes(
                svg_string=data.decode("utf-8", "replace"),
                width=size,
                background="#ffffff",
                dpi=96,  # resvg-py's default of 0 fails on sizes in pt and mm
                skip_system_fonts=True,
            )
        )
    except Exception as error:  # resvg_py's own kinds
        raise ValueError(str(error)) from error
