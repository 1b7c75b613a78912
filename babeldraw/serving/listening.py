"""The socket, and the process that answers on it."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from babeldraw.errors import UserError
from babeldraw.serving.guard import Guard

HEAD_SECONDS = 10
"""In which the head of a request must be here, or the connection is closed."""
MOST_CONNECTIONS = 512
"""Further ones are answered 503."""
ENDING_SECONDS = 60
"""In which answers that have begun are finished when the server ends."""


@contextlib.contextmanager
def listen(host: str, port: int) -> Iterator[socket.socket]:
    """The socket of an address, before anything is loaded for it.

    Raises:
      UserError: the address is none of this machine, or the port is taken or not allowed.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(2048)
            yield listening
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"--host {host} --port {port} cannot be listened on ({reason}); give another --port, "
            "or an address of this machine."
        ) from error


class Impatient(H11Protocol):
    """Closes connections that bring no whole head of a request in time."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._seen: object = None
        self._look()

    def _look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(HEAD_SECONDS, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self.transport.is_closing():
            return
        answering = self.cycle is not None and not self.cycle.response_complete
        if not answering and self.cycle is self._seen:
            self.transport.close()
            return
        self._seen = self.cycle
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)


def make_server(app: Guard) -> uvicorn.Server:
    """What runs `app`; `run(sockets=[...])` does it until SIGTERM or SIGINT.

    It tells a request's address and query to no log: `Guard` writes its line.
    """
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=Impatient,
            ws="none",
            loop="asyncio",
            lifespan="on",
            access_log=False,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=ENDING_SECONDS,
            h11_max_incomplete_event_size=2**16,
        )
    )
