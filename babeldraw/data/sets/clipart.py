"""Drawings with captions in Debian and npm packages: captions, licences, and what is left out.

tuxpaint     Debian tuxpaint-stamps-default: stamps, captions by their authors (GPL-2)
openclipart  Debian openclipart-svg: clip art with titles and tags (public domain, as each states)
icons        npm @iconify/json: icon sets, captions from the icons' names (a licence a set)
"""

import dataclasses
import json
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree

from babeldraw.data.sources.pictures import Skipped
from babeldraw.errors import UserError

Drawing = tuple[str, tuple[str, ...], bytes, str]
"""Name, captions, an SVG or PNG file, licence. What stands before `//` in a name is the concept:
pictures of one concept are in one split."""


@dataclasses.dataclass(frozen=True)
class Collection:
    """A set that `babeldraw data build` makes.

    Attributes:
      package: of Debian or npm.
      version: that this was written for.
      npm: whether the package is one of npm.
      read: lists the drawings of the unpacked package.
    """

    package: str
    version: str
    npm: bool
    read: Callable[[pathlib.Path, Skipped], Iterator[Drawing]]


def read_tuxpaint(folder: pathlib.Path, skipped: Skipped) -> Iterator[Drawing]:
    """Stamps: NAME.png or NAME.svg, and NAME.txt whose first line is the English caption."""
    root = _inside(folder, "usr/share/tuxpaint/stamps")
    for path in sorted(root.rglob("*.png")) + sorted(root.rglob("*.svg")):
        name = path.relative_to(root).as_posix()
        text = path.with_suffix(".txt")
        lines = text.read_text("utf-8", "replace").splitlines() if text.is_file() else []
        if path.stem.endswith("_mirror") or not lines or not lines[0].strip():
            skipped.add("no caption", name)
        else:
            concept = path.relative_to(root).with_suffix("").as_posix()
            yield f"{concept}//{path.suffix[1:]}", (lines[0],), path.read_bytes(), "GPL-2.0"


PUBLIC_DOMAIN = "http://web.resource.org/cc/PublicDomain"
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_CC = "{http://web.resource.org/cc/}"
# Thousands of near-identical star polygons, window-manager icons, jigsaw pieces, test pictures and
# pictograms under trademark: their titles say nothing of what is drawn.
_NO_DRAWINGS = re.compile(r"shapes/stars/star_|computer/icons|jigsaw|^special/|aiga-symbols")
_NO_TITLES = re.compile(r"various cliparts|clipart by|^untitled|^$", re.IGNORECASE)


def read_openclipart(folder: pathlib.Path, skipped: Skipped) -> Iterator[Drawing]:
    """Clip art whose own description says that it is in the public domain."""
    root = _inside(folder, "usr/share/openclipart/svg")
    for path in sorted(root.rglob("*.svg")):
        name = path.relative_to(root).as_posix()
        if _NO_DRAWINGS.search(name):
            skipped.add("no drawing", name)
            continue
        data = path.read_bytes()
        try:
            work = next(ElementTree.fromstring(data).iter(f"{_CC}Work"), None)
        except (ElementTree.ParseError, ValueError):
            skipped.add("damaged", name)
            continue
        licence = None if work is None else work.find(f"{_CC}license")
        if work is None or licence is None or licence.get(f"{_RDF}resource") != PUBLIC_DOMAIN:
            skipped.add("no public-domain statement", name)
            continue
        title = " ".join((work.findtext(f"{_DC}title") or "").replace("_", " ").split())
        if _NO_TITLES.search(title):
            skipped.add("no caption", name)
            continue
        tags = [" ".join((tag.text or "").split()) for tag in work.iter(f"{_RDF}li")]
        tagged = f"{title}, {', '.join(filter(None, tags))}"
        captions = (title, tagged) if any(tags) else (title,)
        yield f"{title.lower()}//{name}", captions, data, "public domain"


# SPDX names of licences under which pictures may be used, changed and passed on, with attribution.
FREE = re.compile(
    r"MIT|Apache-2\.0|ISC|CC0-1\.0|CC-BY(-SA)?-[34]\.0|OFL-1\.1|BSD-.*|Unlicense|0BSD"
)
_TRADEMARKS = re.compile(r"logos|programming|brands", re.IGNORECASE)


def read_icons(folder: pathlib.Path, skipped: Skipped) -> Iterator[Drawing]:
    """Coloured icons of the sets with a free licence; no logos, which are trademarks."""
    root = _inside(folder, "@iconify/json")
    collections = json.loads((root / "collections.json").read_text("utf-8"))
    for prefix, about in sorted(collections.items()):
        licence = about.get("license", {}).get("spdx", "")
        if not FREE.fullmatch(licence):
            skipped.add("no free licence", prefix)
        elif _TRADEMARKS.search(f"{about.get('category', '')} {about.get('name', '')} {prefix}"):
            skipped.add("trademarks", prefix)
        elif about.get("palette"):
            yield from _icons_of(root / "json" / f"{prefix}.json", about, licence)


def _icons_of(path: pathlib.Path, about: dict[str, Any], licence: str) -> Iterator[Drawing]:
    data = json.loads(path.read_text("utf-8"))
    for slug, icon in sorted(data["icons"].items()):
        if icon.get("hidden"):
            continue
        box = [icon.get(key, data.get(key, default)) for key, default in _BOX.items()]
        svg = (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{" ".join(map(str, box))}">{icon["body"]}</svg>'
        )
        words = slug.replace("-", " ")
        captions = (words, f"{words}, {about['name']} style")
        yield f"{words}//{path.stem}", captions, svg.encode(), licence


_BOX = {"left": 0, "top": 0, "width": 16, "height": 16}


def _inside(folder: pathlib.Path, where: str) -> pathlib.Path:
    if not (folder / where).is_dir():
        raise UserError(f"{folder} has no {where}: give the folder of the unpacked package.")
    return folder / where


COLLECTIONS = {
    "tuxpaint": Collection("tuxpaint-stamps-default", "2022.06.04-1", False, read_tuxpaint),
    "openclipart": Collection("openclipart-svg", "1:0.18+dfsg-19", False, read_openclipart),
    "icons": Collection("@iconify/json", "2.2.535", True, read_icons),
}
