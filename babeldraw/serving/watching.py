"""Waiting for pictures as long as the client is there, and sending them as they are drawn."""

import asyncio
import contextlib
import functools
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from babeldraw.errors import UserError
from babeldraw.serving import pictures, refusals
from babeldraw.serving.engine import Drawn, Job
from babeldraw.serving.refusals import Refusal
from babeldraw.serving.served import Served

SIGN_OF_LIFE = 5.0
"""Seconds of a silent stream, after which a comment is sent."""

Result = TypeVar("Result")
_log = logging.getLogger(__name__)


async def result(
    request: Request, futures: "Sequence[Future[Result]]", seconds: float
) -> list[Result]:
    """What all of them give.

    Raises:
      Refusal: they take too long; or the client has gone, and nobody reads this.
    """
    waiting = asyncio.gather(*map(asyncio.wrap_future, futures))
    gone = asyncio.create_task(_gone(request))
    either: set[asyncio.Future[Any]] = {waiting, gone}
    try:
        await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            return await waiting
        if gone.done():
            raise Refusal(499, "the client has gone.")
        raise refusals.late(seconds)
    finally:
        gone.cancel()
        for future in futures:
            future.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            waiting.cancel()
            await waiting


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def stream(
    request: Request,
    served: Served,
    jobs: Sequence[Job],
    looks: int,
    event: str,
    common: Mapping[str, Any],
    finished: Callable[[int, Drawn], Awaitable[dict[str, Any]]],
) -> Response:
    """Queues the pictures and answers with server-sent events, those of OpenAI's streams.

    `EVENT.partial_image` has a PNG that is transparent where nothing is drawn yet,
    `EVENT.completed` the finished one. Beside OpenAI's fields they say of which picture they are
    (`number`), and partial ones which tokens are there (`drawn`, 0 and 1 in raster order). An error
    on the way is an event `error`, the last one.

    Args:
      looks: partial pictures of each.
      finished: what is said of a picture.

    Raises:
      Refusal: there is no room.
    """
    loop = asyncio.get_running_loop()
    news: asyncio.Queue[tuple[int, Any]] = asyncio.Queue()

    def tell(number: int, what: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(news.put_nowait, (number, what))

    for number, job in enumerate(jobs):
        job.looks = looks
        job.on_part = functools.partial(tell, number) if looks else None
        job.future.add_done_callback(functools.partial(tell, number))
    served.engine.submit(jobs)
    columns = jobs[0].pieces.sampler.model.columns

    async def events() -> AsyncIterator[str]:
        left, sent = len(jobs), [0] * len(jobs)
        try:
            while left:
                try:
                    number, what = await asyncio.wait_for(news.get(), SIGN_OF_LIFE)
                except TimeoutError:
                    yield ": waiting\n\n"
                    continue
                said = {"created_at": int(time.time()), "number": number, **common}
                if isinstance(what, Future):
                    drawn = what.result()
                    await served.moderation.check_pictures([drawn.image])
                    left -= 1
                    kind, said = f"{event}.completed", said | await finished(number, drawn)
                else:
                    image = pictures.so_far(what.image, what.drawn, columns)
                    said |= {"b64_json": pictures.to_png(image), "background": "transparent"}
                    said |= {"partial_image_index": sent[number]}
                    said |= {"drawn": "".join("01"[token] for token in what.drawn.astype(int))}
                    sent[number] += 1
                    kind = f"{event}.partial_image"
                yield _event(kind, said)
        except Refusal as refusal:
            yield _event("error", refusal.body)
        except UserError as error:
            yield _event("error", Refusal(400, str(error)).body)
        except Exception:
            _log.exception("a stream failed")
            yield _event("error", refusals.failed().body)
        finally:
            for job in jobs:
                job.future.cancel()

    return StreamingResponse(events(), media_type="text/event-stream")


def _event(kind: str, said: Mapping[str, Any]) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **said})}\n\n"
