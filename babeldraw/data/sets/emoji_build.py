"""Builds the captioned emoji set from npm packages: join, render, caption, split, write.

The same packages, the same resvg-py and the same Pillow give the same bytes.
"""

import dataclasses
import hashlib
import io
import json
import pathlib
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from babeldraw.data.sets import emoji_grid, emoji_sheets, emoji_words
from babeldraw.data.sets.emoji_grid import Cell
from babeldraw.errors import UserError

MIN_SIZE, MAX_SIZE = 8, 256
BACKGROUND = "#ffffff"  # white art on transparent ground stays faint, as in print
LABELS_PACKAGE = "emojibase-data"
STYLE_PACKAGES = {
    "noto": "@iconify-json/noto",
    "fluent": "@iconify-json/fluent-emoji-flat",
    "twemoji": "@iconify-json/twemoji",
}
VERSIONS = {
    "@iconify-json/noto": "1.2.9",
    "@iconify-json/fluent-emoji-flat": "1.2.6",
    "@iconify-json/twemoji": "1.2.5",
    "emojibase-data": "17.0.0",
}
SHA256 = {
    "@iconify-json/noto/icons.json": (
        "9eac6ef4e7ec122b6f0e7ac281d61008afdbc720d0ce861e398b939daaa347c6"
    ),
    "@iconify-json/fluent-emoji-flat/icons.json": (
        "f5f4cf457c0db2ad5a2e42e033e02e0c87d10e43d0164cfffb3bb84914970a63"
    ),
    "@iconify-json/twemoji/icons.json": (
        "5d5d820790565b764f2728675d487c9ee4c1fc83916d8567d5aca8ba7527c242"
    ),
    "emojibase-data/en/data.json": (
        "ed014f1049bd370c5794f815850156196ac382850f51c3e9f6a9e83553fb3f01"
    ),
}


@dataclasses.dataclass(frozen=True)
class Icon:
    """SVG body with the side lengths of its view box."""

    body: str
    width: float
    height: float


def install_packages(folder: pathlib.Path) -> pathlib.Path:
    """Installs the pinned packages with npm, as `install`."""
    return install(folder, VERSIONS, list(SHA256))


def install(
    folder: pathlib.Path, versions: Mapping[str, str], wanted: Sequence[str]
) -> pathlib.Path:
    """Installs packages of stated versions with npm, without running their scripts.

    Args:
      versions: of each package.
      wanted: paths below ``node_modules``; where all are there, nothing is done.

    Returns:
      the ``node_modules`` folder.

    Raises:
      UserError: npm is missing or fails.
    """
    modules = folder / "node_modules"
    if all((modules / path).exists() for path in wanted):
        return modules
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(
            "npm, which fetches the pictures' packages, is not installed: install Node.js "
            "(for example `apt-get install npm`), or pass --npm_dir with a node_modules folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    packages = [f"{name}@{version}" for name, version in versions.items()]
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save"]
    done = subprocess.run(
        [*command, "--prefix", str(folder), *packages], capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise UserError(
            f"npm could not install {', '.join(packages)} ({lines[0]}): check the network, or pass "
            "--npm_dir with a node_modules folder that holds them."
        )
    return modules


def check_packages(modules: pathlib.Path) -> None:
    """Compares the files of `SHA256` with those of the pinned versions.

    Raises:
      UserError: a file is missing or differs.
    """
    for name, expected in SHA256.items():
        path = modules / name
        package = name.rsplit("/", 2 if name.startswith(LABELS_PACKAGE) else 1)[0]
        wanted = f"{package}@{VERSIONS[package]}"
        if not path.exists():
            raise UserError(f"{path} is missing: install {wanted} with npm.")
        if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise UserError(f"{path} is not from {wanted}: install exactly this version.")


def _read_json(modules: pathlib.Path, name: str) -> Any:
    """A file of one of the packages.

    Raises:
      UserError: it is missing or damaged.
    """
    package = next(package for package in VERSIONS if name.startswith(f"{package}/"))
    wanted = f"{package}@{VERSIONS[package]}"
    try:
        return json.loads((modules / name).read_text("utf-8"))
    except OSError as error:
        raise UserError(f"{modules / name} is missing: install {wanted} with npm.") from error
    except ValueError as error:
        raise UserError(f"{modules / name} is damaged: install {wanted} with npm again.") from error


def read_labels(modules: pathlib.Path) -> tuple[dict[str, str], dict[str, str]]:
    """English labels and group names: (concept -> label, concept -> group)."""
    meta = _read_json(modules, f"{LABELS_PACKAGE}/meta/groups.json")
    data = _read_json(modules, f"{LABELS_PACKAGE}/en/data.json")
    labels, groups = {}, {}
    for entry in data:
        for emoji in (entry, *entry.get("skins", ())):
            concept = emoji_grid.normalize_concept(emoji["hexcode"])
            labels[concept] = emoji["label"]
            groups[concept] = meta["groups"].get(str(emoji.get("group")), "other")
    return labels, groups


def read_tags(modules: pathlib.Path) -> dict[str, tuple[str, ...]]:
    """English tags of each concept without skin tones, as emojibase has them."""
    data = _read_json(modules, f"{LABELS_PACKAGE}/en/data.json")
    return {
        emoji_grid.normalize_concept(emoji["hexcode"]): tuple(emoji.get("tags", ()))
        for emoji in data
    }


def read_icons(modules: pathlib.Path, style: str) -> dict[str, Icon]:
    """Icons of one style by concept.

    Aliases are followed, but not turned or mirrored ones.
    """
    package = STYLE_PACKAGES[style]
    data = _read_json(modules, f"{package}/icons.json")
    return icons_of(data, _read_json(modules, f"{package}/chars.json"))


def icons_of(data: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Icon]:
    """Icons by concept, of a set's icons.json and chars.json in Iconify's form."""
    icons = {}
    for code_points, name in names.items():
        alias = data.get("aliases", {}).get(name)
        while alias and not {"rotate", "hFlip", "vFlip"} & alias.keys():
            name = alias["parent"]
            alias = data["aliases"].get(name)
        if icon := data["icons"].get(name):
            size = (icon.get(key, data.get(key, 16)) for key in ("width", "height"))
            icons[emoji_grid.normalize_concept(code_points)] = Icon(icon["body"], *size)
    return icons


def render(icon: Icon, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """Draws an icon on white, centred in a square of `size` px.

    It is drawn up to 4 times larger (at most MAX_SIZE px) and averaged down by boxes: smoother
    than drawing at 32 px.
    """
    import resvg_py  # here: only building needs it

    side = max(icon.width, icon.height)
    left, top = (icon.width - side) / 2, (icon.height - side) / 2
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{side}" height="{side}" viewBox="{left} {top} {side} {side}">{icon.body}</svg>'
    )
    factor = min(4, MAX_SIZE // size)
    png = resvg_py.svg_to_bytes(
        svg_string=svg,
        width=size * factor,
        height=size * factor,
        background=BACKGROUND,
        dpi=96,  # resvg-py's default of 0 fails on sizes in pt and mm
        skip_system_fonts=True,
    )
    with Image.open(io.BytesIO(bytes(png))) as image:
        large = np.asarray(image.convert("RGB"), np.uint32)
    total = large.reshape(size, factor, size, factor, 3).sum((1, 3))
    mean: np.ndarray = (total + factor * factor // 2) // (factor * factor)
    return mean.astype(np.uint8)


def mark_duplicates(cells: list[Cell], images: UInt8[np.ndarray, "n size size 3"]) -> list[Cell]:
    """Sets `duplicate_of` where an earlier cell has the same pixels."""
    first: dict[bytes, str] = {}
    marked = []
    for cell, image in zip(cells, images, strict=True):
        name = f"{cell.style}/{cell.concept}"
        original = first.setdefault(image.tobytes(), name)
        marked.append(dataclasses.replace(cell, duplicate_of="" if original == name else original))
    return marked


def load_sources(
    modules: pathlib.Path,
) -> tuple[list[Cell], Mapping[str, Mapping[str, Icon]]]:
    """Cells (not yet marked for duplicates) and icons by style and concept."""
    check_packages(modules)
    icons = {style: read_icons(modules, style) for style in emoji_grid.STYLES}
    labels, groups = read_labels(modules)
    common = set(labels).intersection(*icons.values())
    return emoji_grid.make_cells({c: labels[c] for c in common}, groups), icons


def build(
    output: pathlib.Path,
    size: int,
    modules: pathlib.Path,
    log: Callable[[str], None] = lambda line: None,
) -> list[Cell]:
    """Writes the whole set at `size` px into the folder `output`.

    Raises:
      UserError: size out of range, or packages missing or of another version.
    """
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise UserError(f"--size is {size}, but must lie between {MIN_SIZE} and {MAX_SIZE}.")
    cells, icons = load_sources(modules)
    output.mkdir(parents=True, exist_ok=True)
    images = []
    for style in emoji_grid.STYLES:
        own = [cell for cell in cells if cell.style == style]
        images.append(np.stack([render(icons[style][cell.concept], size) for cell in own]))
        emoji_sheets.write_images(output, style, images[-1])
        log(f"{style}: {len(own)} pictures of {size} px")
    cells = mark_duplicates(cells, np.concatenate(images))
    wanted = {emoji_words.without_tones(cell.concept) for cell in cells}
    tags = read_tags(modules)
    emoji_words.write_words(output, {concept: tags.get(concept, ()) for concept in wanted})
    emoji_sheets.write_cells(output, cells)  # last: its presence says that the set is whole
    return cells
