"""A server of a few hundred weights on loopback, one for all tests of a process."""

import contextlib
import functools
import socket
import tempfile
import threading
import time
from pathlib import Path

import pytest

from babeldraw.serving.app import create_app
from babeldraw.serving.listening import listen, make_server
from babeldraw.serving.start import build
from tests.cli import runs
from tests.quick import compiled_quickly  # noqa: F401

KEY = "a-key-that-nobody-guesses"
_RUNNING = []


@functools.cache
def folder():
    """Of the runs."""
    place = Path(tempfile.mkdtemp(prefix="babeldraw-served-"))
    runs.write_text_to_image(place)
    runs.write_coca(place)
    return place


@functools.cache
def served_once():
    return build(
        [f"tiny={folder()}/text_to_image"],
        batch_size=4,
        queue=24,
        seconds=60,
        rerank=str(folder() / "coca"),
    )


@functools.cache
def address(keys=(), change=lambda served: served):
    """Host and port of a server, which runs to the end of the process."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(listen("127.0.0.1", 0))
        server = make_server(create_app(change(served_once()), keys))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        _RUNNING.append((server, thread, stack.pop_all()))
        return listening.getsockname()[:2]


def pytest_sessionfinish():
    for server, _, _ in _RUNNING:
        server.should_exit = True
    for _, thread, stack in _RUNNING:
        thread.join(10)
        stack.close()


@pytest.fixture(scope="module")
def served(compiled_quickly):  # noqa: F811
    return served_once()


@pytest.fixture(scope="module")
def url(served):
    host, port = address()
    return f"http://{host}:{port}"


def raw(data, *, keys=(), wait=5.0, pause=None):
    """What the server answers to these bytes, up to the end of the connection, or so long."""
    with socket.create_connection(address(keys), timeout=wait) as connection:
        for part in data if isinstance(data, list) else [data]:
            with contextlib.suppress(OSError):
                connection.sendall(part)
            if pause:
                time.sleep(pause)
        answer = b""
        with contextlib.suppress(OSError):
            while part := connection.recv(65536):
                answer += part
        return answer
