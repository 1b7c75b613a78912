"""What stands before every request: keys, limits of body and time, and headers of every answer."""

import asyncio
import hashlib
import hmac
import json
import sys
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from babeldraw.serving import refusals
from babeldraw.serving.metrics import Metrics
from babeldraw.serving.refusals import Refusal

MAX_BODY = 10 * 2**20
"""Bytes of a request."""
MAX_HEAD = 2**15
"""Bytes of its headers."""
BODY_SECONDS = 20
"""In which all of it must be here."""
OPEN = ("/", "/healthz")
"""Without a key, as is what lies under `/page/`."""
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """ASGI middleware, outside of everything else.

    `request.state.owner` is then who asks: a hash of the key, or empty where there are none.

    Attributes:
      keys: any of which opens the server; none: it is open, and only by the names of this machine.
    """

    def __init__(self, app: ASGIApp, *, keys: Sequence[str], metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics
        self._keys = [key.encode() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        answer = _Answer(scope, send)
        start = time.monotonic()
        try:
            self._check(scope)
            await self._app(scope, _Body(await _read(scope, receive), receive), answer)
        except Refusal as refusal:
            await answer.refuse(refusal)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            print(f"babeldraw: {type(error).__name__} in a request", file=sys.stderr)
            await answer.refuse(refusals.failed())
            raise
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, str(answer.status)).inc()
            self._metrics.seconds.labels(route).observe(time.monotonic() - start)

    def _check(self, scope: Scope) -> None:
        headers = _headers(scope)
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEAD:
            raise Refusal(431, f"headers have at most {MAX_HEAD:,} bytes; send fewer.")
        if "transfer-encoding" in headers and "content-length" in headers:
            # Two answers to where the request ends: a proxy may have given the other one.
            raise Refusal(400, "a body has a length or comes in chunks; send one of the headers.")
        host = headers.get("host", "")
        if not self._keys and _name(host) not in ("localhost", "127.0.0.1", "::1"):
            # A name that somebody made point to this machine: a page of theirs would get answers.
            raise Refusal(403, "without keys this server is called localhost; use that name.")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            raise Refusal(403, "pages of other servers may not call this one; use its own.")
        owner = ""
        if self._keys and not _is_open(scope["path"]):
            scheme, _, given = headers.get("authorization", "").partition(" ")
            key = given.strip().encode()
            owner = hashlib.sha256(key).hexdigest()[:16]
            found = [hmac.compare_digest(key, each) for each in self._keys]
            if scheme.lower() != "bearer" or not any(found):
                raise Refusal(
                    401,
                    "this server wants a key; send it as `Authorization: Bearer KEY`.",
                    code="invalid_api_key",
                )
        scope.setdefault("state", {})["owner"] = owner


def _is_open(path: str) -> bool:
    return path in OPEN or path.startswith("/page/")


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def _read(scope: Scope, receive: Receive) -> bytes:
    """The whole body, before anything looks at it.

    Raises:
      Refusal: it is too large or too slow, or ends before its end.
    """
    too_large = Refusal(
        413, f"a request has at most {MAX_BODY:,} bytes; send smaller or fewer pictures."
    )
    said = _headers(scope).get("content-length", "0")
    if not said.isdecimal() or len(said) > 12 or int(said) > MAX_BODY:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refusal(400, "the request ended before its end; send it whole.")
                body += message.get("body", b"")
                if len(body) > MAX_BODY:
                    raise too_large
                if not message.get("more_body"):
                    return bytes(body)
    except TimeoutError:
        raise Refusal(
            408, f"the request was not here within {BODY_SECONDS} s; send it faster."
        ) from None


class _Body:
    """`receive` of a body that is here already."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


class _Answer:
    """`send` that adds our headers, and remembers what was sent."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send, self._head = send, scope["method"] == "HEAD"
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            ours = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
            message = {**message, "headers": [*message.get("headers", ()), *ours]}
        await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        if self.status is not None:  # the answer has begun
            return
        body = json.dumps(refusal.body).encode()
        headers: dict[str, Any] = {"Content-Type": "application/json", **refusal.headers}
        headers |= {"Content-Length": len(body), "Connection": "close"}
        pairs = [(name.lower().encode(), str(value).encode()) for name, value in headers.items()]
        await self({"type": "http.response.start", "status": refusal.status, "headers": pairs})
        await self({"type": "http.response.body", "body": b"" if self._head else body})
