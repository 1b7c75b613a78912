"""Contract: a hook that refuses, or fails, lets nothing by, and is counted."""

import asyncio
import contextlib
import dataclasses
import http.server
import json
import sys
import threading
import types
from importlib import resources

import httpx2
import pytest

from babeldraw.errors import UserError
from babeldraw.serving.metrics import Metrics
from babeldraw.serving.moderation import Endpoint, Moderation, WordList, entry_point
from babeldraw.serving.refusals import Refusal
from tests.serving.conftest import address


@pytest.fixture
def words(tmp_path):
    file = tmp_path / "words.txt"
    file.write_text("# of a test\nGore\nred  Apple # both\n\n", encoding="utf-8")
    return WordList(str(file))


@pytest.mark.parametrize(
    "text",
    [
        *(
            "gore",
            "so much GORE!",
            "\uff47\uff4f\uff52\uff45",
            "góre",
            "go\u200bre",
            "go\u00adre",
            "a red apple",
        ),
        *("red-apple", "RED\napple"),
    ],
)
def test_words_are_found_however_they_are_written(words, text):
    assert words(text) == "its words"


@pytest.mark.parametrize("text", ["a gorer", "category", "apple red", "red", "", "a red big apple"])
def test_other_words_are_not(words, text):
    assert words(text) is None


def test_the_list_that_comes_along_is_one():
    file = resources.files("babeldraw.serving") / "words.txt"
    assert WordList(str(file))("Gore") and WordList(str(file))("a cook") is None


@pytest.mark.parametrize("text", [None, "# nothing\n", b"\xff\xfe\x00"])
def test_a_list_that_is_none(tmp_path, text):
    file = tmp_path / "words.txt"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match="--word_list"):
        WordList(str(file))


@pytest.mark.parametrize("name", ["nothing.of:that", "json", "json:no", "json:__name__", ":"])
def test_a_function_that_is_none(name):
    with pytest.raises(UserError, match=r"--judge_texts .* MODULE:FUNCTION"):
        entry_point(name, "--judge_texts")


def test_a_function_of_the_users(monkeypatch):
    module = types.ModuleType("of_a_test")
    module.judge = lambda text: "too short" if len(text) < 3 else None
    monkeypatch.setitem(sys.modules, "of_a_test", module)
    assert entry_point("of_a_test:judge", "--judge_texts")("ab") == "too short"


@contextlib.contextmanager
def endpoint(answer, status=200):
    """An endpoint that answers so, and the bodies that it was asked."""
    bodies = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Endpoint(f"http://127.0.0.1:{server.server_port}/v1/moderations"), bodies
        server.shutdown()


def verdict(judge):
    """ "drawn", or the code of the refusal."""
    metrics = Metrics()
    try:
        asyncio.run(Moderation([judge], [], metrics).check_texts(["a cook"]))
    except Refusal as refusal:
        return refusal.code, metrics.text().decode()
    return "drawn", ""


@pytest.mark.parametrize(
    ("answer", "status", "code", "stage"),
    [
        (b'{"results": [{"flagged": false}]}', 200, "drawn", ""),
        (b'{"results": [{"flagged": true}]}', 200, "content_policy_violation", "text"),
        (b'{"results": []}', 200, "moderation_unavailable", "text_hook_failed"),
        (b"not JSON", 200, "moderation_unavailable", "text_hook_failed"),
        (b'{"results": [{"flagged": false}]}', 500, "moderation_unavailable", "text_hook_failed"),
    ],
)
def test_an_endpoint_is_asked_and_fails_closed(answer, status, code, stage):
    with endpoint(answer, status) as (judge, bodies):
        found, counted = verdict(judge)
    assert found == code and bodies == [{"input": "a cook"}]
    assert not stage or f'babeldraw_moderated_total{{stage="{stage}"}} 1.0' in counted


def test_an_endpoint_that_is_away_fails_closed():
    with endpoint(b"") as (judge, _):
        pass
    assert verdict(judge)[0] == "moderation_unavailable"
    with pytest.raises(UserError, match="is no URL"):
        Endpoint("file:///etc/passwd")


def _no_cooks(text):
    return "no cooks" if "cook" in text else None


def _fails(_):
    raise RuntimeError("a cook is secret")


def _nothing_is_shown(image):
    assert image.shape == (16, 20, 3)
    return "too bright"


def _with_no_cooks(served):
    return dataclasses.replace(served, moderation=Moderation([_no_cooks], [], served.metrics))


def _with_failing_texts(served):
    return dataclasses.replace(served, moderation=Moderation([_fails], [], served.metrics))


def _with_no_pictures(served):
    hooks = Moderation([], [_nothing_is_shown], served.metrics)
    return dataclasses.replace(served, moderation=hooks)


def _with_failing_pictures(served):
    return dataclasses.replace(served, moderation=Moderation([], [_fails], served.metrics))


def _with_pictures_let_by(served):
    hooks = Moderation([], [lambda image: None], served.metrics)
    return dataclasses.replace(served, moderation=hooks)


def ask(change, **body):
    host, port = address((), change)
    url = f"http://{host}:{port}/v1/images/generations"
    return httpx2.post(url, json={"prompt": "a cook", **body}, timeout=30)


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        (_with_no_cooks, 400, "content_policy_violation"),
        (_with_failing_texts, 503, "moderation_unavailable"),
        (_with_no_pictures, 400, "content_policy_violation"),
        (_with_failing_pictures, 503, "moderation_unavailable"),
    ],
)
def test_a_server_with_hooks(served, change, status, code, caplog):
    answer = ask(change)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["code"] == code and "secret" not in str(error)
    assert "secret" not in caplog.text
    # Further texts are judged, too; what is let by is drawn.
    if change is _with_no_cooks:
        terms = [{"text": "a cook", "weight": 1}]
        assert ask(change, prompt="a pilot", terms=terms).json()["error"]["code"] == code
        assert ask(change, prompt="a pilot").status_code == 200


def test_judged_pictures_are_not_shown_before_they_are_whole(served):
    events = ask(_with_pictures_let_by, stream=True, partial_images=5).text
    assert "partial_image" not in events and "image_generation.completed" in events
    refused = ask(_with_no_pictures, stream=True, partial_images=5).text
    assert "b64_json" not in refused and "content_policy_violation" in refused
