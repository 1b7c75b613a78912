"""Pictures on the page: each with what it is and its prompt, large enough to see, every pixel."""

import base64
import dataclasses
import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from babeldraw.evaluation.reporting.document import NOTHING, Html, text

SIDE = 128
"""Pixels of the page that a small picture is given, or the next whole multiple of its own."""
LARGEST = 256
"""Pixels of the page that a large picture is given."""
_MANY = 4
"""More pictures than these have rows of their own on a phone, and do not become smaller."""


@dataclasses.dataclass(frozen=True)
class Shown:
    """Pictures that belong together, such as a real one and what was drawn of its caption.

    Attributes:
      caption: the prompt; "" where there is none.
      pictures: what each is, such as "real" or "drawn", and the picture.
      mark: what is wrong with it, if anything; a sentence.
    """

    caption: str
    pictures: Sequence[tuple[str, UInt8[np.ndarray, "height width 3"]]]
    mark: str = ""


def gallery(shown: Sequence[Shown]) -> Html:
    """A list of figures. It has as many columns as the screen has room for."""
    if not shown:
        return NOTHING
    row = max(sum(_width(picture) + 8 for _, picture in each.pictures) for each in shown)
    wide = min(row / 16 + 1.6, 60)  # with the card's padding
    items = "".join(_figure(each, number) for number, each in enumerate(shown, 1))
    return Html(f'<ul class="gallery" role="list" style="--wide:{wide:.1f}rem">{items}</ul>')


def image(
    picture: UInt8[np.ndarray, "height width 3"], alt: str, *, as_it_is: bool = False
) -> Html:
    """An embedded picture; a small one is shown in squares, but for one that is `as_it_is`."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    width = picture.shape[1] if as_it_is else _width(picture)
    height = round(picture.shape[0] * width / picture.shape[1])
    kind = ' class="crisp"' if width > picture.shape[1] else ""
    return Html(
        f'<img{kind} alt="{text(alt)}" width="{width}" height="{height}" '
        f'src="data:image/png;base64,{data}">'
    )


def _width(picture: UInt8[np.ndarray, "height width 3"]) -> int:
    """Of a small one a whole multiple: no pixel is then wider than another."""
    width: int = picture.shape[1]
    return min(width * max(1, round(SIDE / width)), LARGEST)


def _figure(shown: Shown, number: int) -> str:
    named = shown.caption or f"picture {number}"
    row = "".join(
        f'<div>{image(picture, f"{label}: {named}")}<span aria-hidden="true">{text(label)}</span>'
        "</div>"
        for label, picture in shown.pictures
    )
    caption = f'<span dir="auto">{text(shown.caption)}</span>' if shown.caption else ""
    mark = f'<span class="mark">{text(shown.mark)}</span>' if shown.mark else ""
    below = f"<figcaption>{caption}{mark}</figcaption>" if caption or mark else ""
    kind = "row many" if len(shown.pictures) > _MANY else "row"
    return f'<li><figure><div class="{kind}">{row}</div>{below}</figure></li>'
