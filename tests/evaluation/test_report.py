import base64
import html.parser
import io
import json
import re

import numpy as np
from PIL import Image

from babeldraw.evaluation import report

HOSTILE = '<script>alert("x")</script> & co'


class Texts(html.parser.HTMLParser):
    """Tags and text of a page, as a browser would see them."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.texts.append(data)


def pictures(rows, columns=2):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, size=(rows, columns, 4, 4, 3), dtype=np.uint8)


def test_nothing_that_is_text_becomes_markup():
    body = report.table({HOSTILE: 1})
    body += report.captioned(pictures(1), [HOSTILE])
    seen = Texts(report.page(HOSTILE, [(HOSTILE, body)]))
    assert "script" not in seen.tags
    # Title, heading, section heading, table cell, caption.
    assert seen.texts.count(HOSTILE) == 5


def test_wrong_figures_are_marked():
    out = report.captioned(pictures(3), ["a", "b", "c"], [True, False, True])
    assert re.findall(r'class="(\w+)"', out) == ["right", "wrong", "right"]
    assert "wrong" not in report.captioned(pictures(1), ["a"])


def test_pictures_are_embedded_unchanged():
    shown = pictures(1, columns=1)
    encoded = re.search(r"base64,([^\"]+)", report.picture(shown)).group(1)
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))
    # Enlarged by whole factors, so that every pixel is still there, in its place.
    factor = next(n for n in range(1, 100) if decoded.shape[0] - 4 * n in (2, 4))
    line = (decoded.shape[0] - 4 * factor) // 2
    inside = decoded[line:-line, line:-line]
    np.testing.assert_array_equal(inside[::factor, ::factor], shown[0, 0])
    np.testing.assert_array_equal(inside[factor - 1 :: factor, factor - 1 :: factor], shown[0, 0])


def test_curves_take_the_records_of_a_run(tmp_path):
    records = [
        {"step": 1, "split": "train", "loss": 2.0},
        {"step": 2, "split": "train", "loss": 1.0},
        {"step": 2, "split": "eval", "loss": 1.5, "psnr": 20.0},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    assert report.read_metrics(tmp_path) == records
    for name in ("loss", "psnr"):
        tag = report.curve(records, name, name)
        encoded = re.search(r"base64,([^\"]+)", tag).group(1)
        assert Image.open(io.BytesIO(base64.b64decode(encoded))).format == "PNG"


def test_numbers_are_readable():
    assert "0.123" in report.table({"a": 0.12345})
    assert "1,234,567" in report.table({"parameters": 1234567})
