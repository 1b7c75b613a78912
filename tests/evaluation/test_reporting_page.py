"""The page as a browser and a screen reader take it: markup, escaping, colours."""

import base64
import html.parser
import io
import itertools
import re

import numpy as np
import pytest
from PIL import Image

from babeldraw.evaluation.reporting import document, pictures, style
from babeldraw.evaluation.reporting.pictures import Shown

HOSTILE = '<script>alert("x")</script> & "co" \'so\''
VOID = {"meta", "img", "br", "path", "use", "rect", "circle"}


class Markup(html.parser.HTMLParser):
    """Elements of a page with their attributes, in order, and its text."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.texts, self.open = [], [], []
        self.feed(page)
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def check_accessible(page):
    """What a screen reader and a phone need. Returns the parsed page."""
    markup = Markup(page)
    assert markup.all("html") == [{"lang": "en"}]
    assert any(meta.get("name") == "viewport" for meta in markup.all("meta"))
    levels = [int(tag[1]) for tag, _ in markup.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert all(len(image["alt"]) > 3 for image in markup.all("img"))
    assert all(head["scope"] in ("row", "col") for head in markup.all("th"))
    assert all(len(svg["aria-label"]) > 20 for svg in markup.all("svg"))
    assert all(svg["role"] == "img" for svg in markup.all("svg"))
    names = [attrs["id"] for _, attrs in markup.elements if "id" in attrs]
    assert len(set(names)) == len(names)
    links = [link["href"] for link in markup.all("a")]
    assert all(link.startswith("#") and link[1:] in names for link in links)
    return markup


def check_closed(markup):
    """Nothing runs, and nothing is loaded from elsewhere."""
    tags = {tag for tag, _ in markup.elements}
    assert not tags & {"script", "iframe", "object", "embed", "link", "form", "foreignobject"}
    for _, attrs in markup.elements:
        assert not any(name.startswith("on") for name in attrs)
        for name in ("src", "href", "xlink:href", "srcset", "data"):
            assert attrs.get(name, "#").startswith(("#", "data:image/png;base64,"))


def picture(side=4, width=None, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, size=(side, width or side, 3), dtype=np.uint8)


def pair(caption, mark=""):
    return Shown(caption, [("real", picture()), ("drawn", picture())], mark)


def test_the_page_is_accessible_and_closed():
    inner = document.Section("C", document.paragraph("see `a b`"), [document.Section("D")])
    sections = [
        document.Section("A", pictures.gallery([pair("a red bird"), pair("", "wrong")])),
        document.Section("B", document.table(("x", "y"), [("1", "2")], "Rows"), [inner]),
    ]
    page = document.page("T", "L", sections)
    check_closed(check_accessible(page))
    assert "<code>a b</code>" in page


def test_nothing_that_is_text_becomes_markup():
    body = document.join(
        document.table((HOSTILE,), [(HOSTILE,)], HOSTILE),
        document.listing([HOSTILE]),
        document.code(HOSTILE),
        document.details(HOSTILE, document.paragraph(HOSTILE)),
        pictures.gallery([Shown(HOSTILE, [(HOSTILE, picture())], HOSTILE)]),
    )
    markup = check_accessible(document.page(HOSTILE, HOSTILE, [document.Section(HOSTILE, body)]))
    check_closed(markup)
    # Title, heading, lead, link, section; table: 3; list; code; details: 2; figure: 3.
    assert markup.texts.count(HOSTILE) == 15
    assert markup.all("img")[0]["alt"] == f"{HOSTILE}: {HOSTILE}"


def test_pictures_are_embedded_unchanged_and_enlarged_by_whole_factors():
    for side, shown in ((4, 128), (48, 144), (64, 128), (100, 100), (256, 256), (512, 256)):
        (image,) = Markup(pictures.image(picture(side), "alt")).all("img")
        data = base64.b64decode(image["src"].partition("base64,")[2])
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), picture(side))
        assert image["width"] == image["height"] == str(shown)
        assert ("crisp" in image.get("class", "")) == (shown > side)


def test_rectangles_keep_their_shape():
    (image,) = Markup(pictures.image(picture(32, 64), "alt")).all("img")
    assert (image["width"], image["height"]) == ("128", "64")


def luminance(colour):
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """As WCAG 2 defines it: 1 to 21."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colours", [style.LIGHT, style.DARK], ids=["light", "dark"])
def test_text_and_curves_stand_out(colours):
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    for ground in ("page", "card"):
        for name in ("ink", "soft", "link", "alarm", *(f"c{slot}" for slot in range(7))):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    assert contrast(colours["alarm"], colours["alarm-page"]) >= 4.5


def test_both_palettes_have_all_colours():
    assert style.LIGHT.keys() == style.DARK.keys()
    used = set(re.findall(r"var\(--([\w-]+)", style.STYLE)) - {"wide"}
    assert used <= style.LIGHT.keys()


def test_many_pictures_of_a_prompt_wrap_on_a_phone_and_few_do_not():
    for count, kind in ((4, "row"), (5, "row many")):
        shown = Shown("a", [(str(number), picture()) for number in range(count)])
        assert f'<div class="{kind}">' in pictures.gallery([shown])
