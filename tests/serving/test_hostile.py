"""Contract: whatever is sent, the answer is a refusal that says why, and the server goes on.

The statuses beside each request are what it gets; 0 is a closed connection without an answer.
"""

import base64
import contextlib
import io
import json
import socket
import struct
import time
import zlib

import httpx2
import numpy as np
import pytest
from PIL import Image

from babeldraw.serving import guard, listening
from tests.serving.conftest import KEY, address, raw

GENERATE, EDIT = "/v1/images/generations", "/v1/images/edits"
GOOD = {"prompt": "a cook"}


def http(body=b"", path=GENERATE, method="POST", length=None, host="localhost", **headers):
    """A request, byte for byte."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    headers = {"Content-Type": "application/json", "Connection": "close"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def form(*parts, path=EDIT):
    """A form of (name, file name or None, bytes)."""
    body = b""
    for name, file, data in parts:
        body += f'--line\r\nContent-Disposition: form-data; name="{name}"'.encode()
        body += (f'; filename="{file}"'.encode() if file is not None else b"") + b"\r\n\r\n"
        body += data + b"\r\n"
    return http(body + b"--line--\r\n", path, Content_Type="multipart/form-data; boundary=line")


def picture(width=20, height=16):
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "PNG")
    return file.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(side=100_000):
    """A PNG of a few kilobytes that says it has ten thousand million pixels."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(2**20))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def text_bomb():
    """A small picture with a comment that unpacks to 200 MB."""
    data = picture()
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(200 * 2**20), 9))
    return data[:33] + text + data[33:]


def encoded(data):
    return base64.b64encode(data).decode()


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">%s</svg>'
ENTITIES = (
    b'<!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9))
    + b"]>"
    + SVG % b"<text>&j;</text>"
)
OUTSIDE = SVG % b'<image href="file:///etc/passwd" width="9" height="9"/>'

HOSTILE = {
    # Bodies that are none, or of the wrong type.
    "no body": (http(), 400),
    "no JSON": (http(b"prompt=a+cook"), 400),
    "JSON that ends early": (http(b'{"prompt": "a c'), 400),
    "a list": (http([GOOD]), 400),
    "a number as prompt": (http({"prompt": 5}), 400),
    "an object as prompt": (http({"prompt": {"$ne": ""}}), 400),
    "null as prompt": (http({"prompt": None}), 400),
    "an empty prompt": (http({"prompt": ""}), 400),
    "a prompt of 5,000 characters": (http({"prompt": "a" * 5000}), 400),
    "a prompt of half a surrogate": (http(b'{"prompt": "\\ud800"}'), 400),
    "a prompt of zeros": (http(b'{"prompt": "\\u0000"}'), (200, 400)),
    "bytes that are no UTF-8": (http(b'{"prompt": "\xff\xfe"}'), 400),
    "a field twice": (http(b'{"prompt": "a", "prompt": 1}'), 400),
    "a field of ours misspelt": (http(GOOD | {"guidance_wieght": 2}), 400),
    "prototype pollution": (http(GOOD | {"__proto__": {"n": 1}}), 400),
    "another content type": (http(GOOD, Content_Type="text/plain"), 400),
    # Numbers.
    "n of 0": (http(GOOD | {"n": 0}), 400),
    "n of a thousand million": (http(GOOD | {"n": 10**9}), 400),
    "n of 5,000 digits": (http(b'{"prompt": "a", "n": ' + b"9" * 5000 + b"}"), 400),
    "NaN": (http(b'{"prompt": "a", "guidance_weight": NaN}'), 400),
    "infinity": (http(b'{"prompt": "a", "guidance_weight": 1e999}'), 400),
    "a seed below 0": (http(GOOD | {"seed": -1}), 400),
    "a seed of 64 bits": (http(GOOD | {"seed": 2**63}), 400),
    "a cutoff of 1": (http(GOOD | {"cutoff": 1}), 400),
    "a hundred terms": (http(GOOD | {"terms": [{"text": "a", "weight": 1}] * 100}), 400),
    "a size of any length": (http(GOOD | {"size": "9" * 10**6}), 400),
    # Bombs.
    "100,000 lists in each other": (http(b"[" * 100_000 + b"]" * 100_000), 400),
    "a deep object as prompt": (http(b'{"prompt":' * 5000 + b"1" + b"}" * 5000), 400),
    "a picture of 10,000,000,000 pixels": (
        http({"images": [encoded(bomb())]}, "/v1/tokenize"),
        400,
    ),
    "a comment of 200 MB in a picture": (
        http({"images": [encoded(text_bomb())]}, "/v1/tokenize"),
        (200, 400),
    ),
    "a thousand million laughs": (http({"images": [encoded(ENTITIES)]}, "/v1/tokenize"), 400),
    "a drawing that reads /etc/passwd": (
        http({"images": [encoded(OUTSIDE)]}, "/v1/tokenize"),
        (200, 400),
    ),
    "a pickle as picture": (
        http({"images": [encoded(b"cos\nsystem\n(S'false'\ntR.")]}, "/v1/tokenize"),
        400,
    ),
    "half a picture": (http({"images": [encoded(picture()[:45])]}, "/v1/tokenize"), 400),
    "a path as picture": (http({"images": ["/etc/passwd"]}, "/v1/tokenize"), 400),
    "a URL as picture": (http({"images": ["http://localhost/"]}, "/v1/tokenize"), 400),
    "seventeen pictures": (http({"images": [encoded(picture())] * 17}, "/v1/tokenize"), 400),
    "tokens that are none": (http({"tokens": [[10**6] * 20]}, "/v1/detokenize"), 400),
    "too few tokens": (http({"tokens": [[1]]}, "/v1/detokenize"), 400),
    "tokens of lists": (http({"tokens": [[[1]]]}, "/v1/detokenize"), 400),
    # Forms.
    "an edit without a picture": (form(("prompt", None, b"a")), 400),
    "an edit of a path": (form(("prompt", None, b"a"), ("image", None, b"/etc/passwd")), 400),
    "a file name with a path": (
        form(("prompt", None, b"a"), ("image", "../../etc/cron.d/x", picture())),
        400,
    ),
    "a thousand fields": (form(*((f"f{i}", None, b"1") for i in range(1000))), 400),
    "three files": (form(*(("image", "a", picture()) for _ in range(3))), 400),
    "a form without its line": (
        http(b"nothing", EDIT, Content_Type="multipart/form-data"),
        400,
    ),
    "a form that does not end": (
        http(b"--line\r\nContent", EDIT, Content_Type="multipart/form-data; boundary=line"),
        400,
    ),
    "a box outside of the picture": (
        form(("prompt", None, b"a"), ("image", "a", picture()), ("box", None, b"9,9,99,99")),
        400,
    ),
    "a box that is none": (
        form(("prompt", None, b"a"), ("image", "a", picture()), ("box", None, b"1;2;3;4")),
        400,
    ),
    # Paths and methods.
    "a path upwards": (http(path="/page/../../../../etc/passwd", method="GET"), 404),
    "the same in percents": (http(path="/page/%2e%2e%2f%2e%2e%2fapp.py", method="GET"), 404),
    "a page's path with a zero": (http(path="/page/index.html%00", method="GET"), 404),
    "a model's path upwards": (http(path="/v1/models/..%2f..%2fetc", method="GET"), 404),
    "a model that is a path": (http(GOOD | {"model": "../../tmp"}), 404),
    "another method": (http(method="DELETE"), 405),
    "a method of its own": (http(method="BREW"), 405),
    "a websocket": (
        http(method="GET", Connection="Upgrade", Upgrade="websocket", Sec_WebSocket_Key="a"),
        (400, 405),
    ),
    # Heads.
    "a header of 100 kB": (http(GOOD, X_Long="a" * 100_000), (400, 431)),
    "10,000 headers": (http(GOOD, **{f"X{i}": "a" for i in range(10_000)}), (400, 431)),
    "a header within a header": (http(GOOD, X_A="1\r\nX-Injected: 1"), 200),
    "two lengths": (http(GOOD, Content_length="3"), 400),
    "a length below 0": (http(GOOD, length=-1), 400),
    "a length that is a word": (http(GOOD, length="many"), 400),
    "a length of more than there may be": (http(GOOD, length=guard.MAX_BODY + 1), 413),
    "a length and chunks": (http(GOOD, Transfer_Encoding="chunked"), 400),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20, 400),
    "another's name": (http(GOOD, host="evil.example"), 403),
    "a name that is none": (http(GOOD, host="[::"), (400, 403)),
    "a page of another server": (http(GOOD, Origin="https://evil.example"), 403),
    "a page of no server": (http(GOOD, Origin="null"), 403),
}


def status_of(answer):
    return int(answer.split()[1]) if answer else 0


def check_form(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"application/json" in head.lower():
        error = json.loads(body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"].endswith(".") and "Traceback" not in error["message"]
        assert b"x-content-type-options: nosniff" in head.lower()
        assert b"access-control-allow-origin" not in head.lower()
    assert b"passwd" not in body and b"root:" not in body and b"/site-packages/" not in body


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_request_gets_its_refusal(url, name):
    data, expected = HOSTILE[name]
    answer = raw(data, wait=30)
    assert status_of(answer) in np.atleast_1d(expected), answer[:600]
    assert b"X-Injected" not in answer
    if status_of(answer) >= 400:
        check_form(answer)


WRONG_KEYS = {
    "none": {},
    "an empty one": {"Authorization": "Bearer "},
    "another": {"Authorization": f"Bearer {KEY}x"},
    "its beginning": {"Authorization": f"Bearer {KEY[:-1]}"},
    "in other letters": {"Authorization": f"Bearer {KEY.upper()}"},
    "of another scheme": {"Authorization": f"Basic {KEY}"},
    "without a scheme": {"Authorization": KEY},
    "in another header": {"X_Api_Key": KEY},
    "of no ASCII": {"Authorization": "Bearer \xff\xfe"},
    "of half a megabyte": {"Authorization": "Bearer " + "a" * 500_000},
}


@pytest.mark.parametrize("name", WRONG_KEYS)
def test_a_wrong_key_opens_nothing(url, name, capsys):
    for path in (GENERATE, "/metrics", "/openapi.json", "/v1/models", "/nothing"):
        answer = raw(http(GOOD, path, **WRONG_KEYS[name]), keys=(KEY,))
        assert status_of(answer) in ((400, 431) if "megabyte" in name else (401,))
        check_form(answer)
    assert KEY not in capsys.readouterr().err
    assert status_of(raw(http(GOOD, Authorization=f"Bearer {KEY}"), keys=(KEY,), wait=30)) == 200


def test_slow_bodies_and_heads_are_ended(url, monkeypatch):
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.3)
    slow = raw([http(GOOD)[:-3], b'"'], wait=5)
    assert status_of(slow) == 408
    monkeypatch.setattr(listening, "HEAD_SECONDS", 0.2)
    start = time.monotonic()
    assert raw([b"POST ", b"/v1 ", b"HTTP/1.1\r\n"], pause=0.05) == b""
    assert raw(b"") == b""
    assert time.monotonic() - start < 3


def test_a_large_body_is_not_read_to_its_end(url):
    """Of a body in chunks nobody says how large it is."""
    head = http(Transfer_Encoding="chunked", Content_Length=None).replace(
        b"Content-Length: 0\r\n", b""
    )
    sent = 0
    with socket.create_connection(address(), timeout=10) as connection:
        connection.sendall(head)
        with contextlib.suppress(OSError):
            while sent < 10 * guard.MAX_BODY:
                connection.sendall(b"100000\r\n" + bytes(2**20) + b"\r\n")
                sent += 2**20
    assert sent < 6 * guard.MAX_BODY


def test_bodies_and_streams_that_are_left_leave_nothing(url, served):
    for data in (http(GOOD, length=5000), http(GOOD | {"stream": True, "n": 4})):
        for _ in range(8):
            with socket.create_connection(address()) as connection:
                connection.sendall(data)
    deadline = time.monotonic() + 30
    while served.engine._jobs and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not served.engine._jobs


def test_after_all_that_it_draws(url):
    answer = httpx2.post(f"{url}{GENERATE}", json=GOOD, timeout=30)
    assert answer.status_code == 200
    assert httpx2.get(f"{url}/healthz").status_code == 200
    assert 'status="500"' not in httpx2.get(f"{url}/metrics").text
