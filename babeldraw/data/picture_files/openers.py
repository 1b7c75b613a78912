"""What Pillow does not open by itself: SVG and HEIC files, and PNGs with metadata of any size."""

import functools
import re
import zlib
from xml.etree import ElementTree

from PIL import Image

SVG_SIDE = 1024
"""Pixels of the longer side of a drawing, which has no size of its own."""

SVG_DEPTH = 100
"""Of parts within each other; resvg calls itself for each, and ends the process some 300 deep."""

MAX_PROFILE = 2**24  # bytes of a colour profile, unpacked; those of printers have up to 4 MB
HEIC_BRANDS = frozenset((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis"))

# Nothing is tried twice (possessive): else 4 kB of comments would take for ever.
_SVG = re.compile(
    rb"(?>\s+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*(?:\[.*?\]\s*)?>)*+<(?:\w+:)?svg\b", re.DOTALL
)
_RULE = re.compile(r"([^{}]*)\{([^{}]*)\}")
_CLASS = re.compile(r"\.([\w-]+)")
_REFERENCE = re.compile(r"#([^\s\"')]+)")
_PNG = b"\x89PNG\r\n\x1a\n"


def is_svg(head: bytes) -> bool:
    """Whether a file that begins so is an SVG drawing."""
    return _SVG.match(head.removeprefix(b"\xef\xbb\xbf")) is not None


def draw_svg(data: bytes) -> bytes:
    """PNG of a drawing, transparent where it is; text is left out that needs the system's fonts.

    Pictures that the drawing links to are left out: they may be any file of this machine.

    Raises:
      ValueError: it is damaged.
    """
    import resvg_py  # here: few sets need it

    try:
        root = ElementTree.fromstring(data)
        for element in root.iter():
            for key, value in list(element.items()):
                inside = value.strip().startswith(("#", "data:"))
                if key.rpartition("}")[2] == "href" and not inside:
                    del element.attrib[key]
        _require_shallow(root)
        return bytes(
            resvg_py.svg_to_bytes(
                svg_string=ElementTree.tostring(root, "unicode"),
                width=SVG_SIDE,
                height=SVG_SIDE,  # it fits into the square and keeps its shape
                dpi=96,  # resvg-py's default of 0 fails on sizes in pt and mm
                skip_system_fonts=True,
            )
        )
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":  # Rust's
            raise ValueError(str(error)) from error
        raise


def _require_shallow(root: ElementTree.Element) -> None:
    """Refuses parts that lie in, or refer to, each other deeper than `SVG_DEPTH`.

    Raises:
      ValueError: it does; a circle is as deep as can be.
    """
    # Gradients are not drawn within each other.
    by_id = {e.get("id"): e for e in root.iter() if not e.tag.endswith("Gradient")}
    styles = "".join(
        text or "" for e in root.iter() if e.tag.endswith("style") for text in [e.text]
    )
    # What a rule refers to may stand in any element of its class, or in any at all.
    rules = [
        (_CLASS.findall(rule[1]), _REFERENCE.findall(rule[2])) for rule in _RULE.finditer(styles)
    ]
    depths: dict[ElementTree.Element, int] = {}

    def depth(element: ElementTree.Element, left: int) -> int:
        if element not in depths and left:
            text = " ".join(value for key, value in element.items() if key != "id")
            classes = element.get("class", "").split()
            names = _REFERENCE.findall(text)
            for selected, targets in rules:
                if not selected or not set(selected).isdisjoint(classes):
                    names += targets
            inner = [*element, *(by_id[name] for name in names if name in by_id)]
            depths[element] = 1 + max((depth(part, left - 1) for part in inner), default=0)
        if depths.get(element, left + 1) > left:
            raise ValueError(f"its parts lie in each other more than {SVG_DEPTH} deep")
        return depths[element]

    depth(root, SVG_DEPTH)


def is_heic(head: bytes) -> bool:
    """Whether a file that begins so is HEIC: HEIF of HEVC, as phones write it (ISO 23008-12)."""
    size = int.from_bytes(head[:4], "big")
    brands = head[8:size]
    return head[4:8] == b"ftyp" and not HEIC_BRANDS.isdisjoint(
        brands[start : start + 4] for start in range(0, len(brands), 4)
    )


@functools.cache
def can_read_heic() -> bool:
    """Whether pillow-heif is installed; Pillow then knows the format HEIF."""
    try:
        import pillow_heif
    except ImportError:
        return False
    Image.init()
    pillow_heif.register_heif_opener()
    return True


def is_png(head: bytes) -> bool:
    """Whether a file that begins so is a PNG."""
    return head.startswith(_PNG)


def without_metadata(data: bytes) -> tuple[bytes, bytes | None]:
    """A PNG's pixels, transparency and orientation alone, and its colour profile unpacked.

    Of a damaged file, what comes before the damage; no profile, if it is damaged or beyond
    `MAX_PROFILE`. Chunks are as in the PNG specification (W3C, third edition), 5.3.
    """
    kept, profile, start = [_PNG], None, len(_PNG)
    while start + 12 <= len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        kind = data[start + 4 : start + 8]
        if kind in (b"tRNS", b"eXIf") or kind[:1].isupper():  # capitals: needed for the pixels
            kept.append(data[start:end])
        elif kind == b"iCCP":
            profile = _unpacked(data[start + 8 : end - 4].partition(b"\0")[2][1:])
        start = end
    return b"".join(kept), profile


def _unpacked(data: bytes) -> bytes | None:
    unpacking = zlib.decompressobj()
    try:
        unpacked = unpacking.decompress(data, MAX_PROFILE)
    except zlib.error:
        return None
    return None if unpacking.unconsumed_tail else unpacked
