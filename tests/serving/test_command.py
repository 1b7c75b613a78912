"""Contract: `babeldraw serve` says in one sentence what is wrong, before it loads anything."""

import socket
import sys

import pytest

from babeldraw.cli import main as cli
from babeldraw.serving import start
from babeldraw.serving.models import named, open_drawers
from tests.serving.conftest import folder


def said(capsys, *arguments, code=2):
    assert cli.main(["serve", *arguments]) == code
    error = capsys.readouterr().err
    assert error.count("babeldraw: error:") == 1
    return error


def test_another_address_needs_keys(capsys, tmp_path):
    model = f"--model={folder()}/text_to_image"
    assert "give --api-key-file FILE" in said(capsys, model, "--host", "0.0.0.0")
    file = tmp_path / "keys"
    wanted = "--api-key-file", str(file)
    assert "cannot be read (No such file" in said(capsys, model, *wanted)
    for keys in ("", "\n\n", "short\n", "long-enough-to-be-a-key\nshort\n", "é" * 20):
        file.write_text(keys)
        error = said(capsys, model, *wanted)
        assert "16 characters or more" in error and "long-enough" not in error


def test_a_port_in_use(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        error = said(capsys, f"--model={folder()}/text_to_image", "--port", port)
        assert f"--port {port} cannot be listened on (Address already in use)" in error
    assert "ports end at 65535" in said(capsys, "--model=x", "--port", "99999")


def test_what_is_no_model(capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", tmp_path / "nowhere"):
        assert str(place) in said(capsys, f"--model={place}", "--port=0")
    assert "ContrastiveCaptioner" in said(capsys, f"--model={folder()}/coca", "--port=0")
    run = f"{folder()}/text_to_image"
    assert "two models are called a" in said(
        capsys, f"--model=a={run}", f"--model=a={run}", "--port=0"
    )
    assert "names no model" in said(capsys, f"--model=a b={run}", "--port=0")


def test_an_extra_that_is_not_installed(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert "pip install 'babeldraw[serve]'" in said(capsys, "--model=x")


def test_a_queue_that_is_too_short(capsys):
    assert "may ask for 10 pictures" in said(capsys, "--model=x", "--queue=9")


def test_hooks_that_are_none(capsys):
    assert "cannot be read" in said(capsys, "--model=x", "--word_list=/nowhere")
    assert "MODULE:FUNCTION" in said(capsys, "--model=x", "--judge_pictures=nothing:at_all")
    assert "is no URL" in said(capsys, "--model=x", "--moderation_url=ftp://x")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("a=/runs/b", ("a", "/runs/b")),
        ("/runs/b/", ("b", "/runs/b/")),
        ("gs://bucket/run", ("run", "gs://bucket/run")),
        ("v1.5=gs://bucket/run", ("v1.5", "gs://bucket/run")),
    ],
)
def test_names_of_models(model, expected):
    assert named(model) == expected


def test_sizes_of_batches():
    assert start.sizes_up_to(16) == [1, 4, 16]
    assert start.sizes_up_to(1) == [1]
    assert start.sizes_up_to(10) == [1, 3, 10]


def test_models_are_opened_by_name():
    (name,) = open_drawers([("tiny", f"{folder()}/text_to_image")])
    assert name == "tiny"
