"""The server put together: its state, its routes, and what becomes of errors."""

import asyncio
import contextlib
import functools
import mimetypes
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import anyio.to_thread
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser

import babeldraw
from babeldraw.errors import UserError
from babeldraw.serving import drawing, fine_tuning, pictures, refusals, understanding
from babeldraw.serving.guard import MAX_BODY, Guard
from babeldraw.serving.refusals import Refusal
from babeldraw.serving.served import Served

PAGE = Path(__file__).parent / "page"
CLOSING_SECONDS = 60
"""What runs is finished in so many when the server ends."""


def create_app(served: Served, keys: Sequence[str] = ()) -> Guard:
    """The ASGI application.

    Args:
      keys: any of which opens it; see `Guard`.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        if served.trainings is not None:
            await asyncio.to_thread(served.trainings.close)
        await asyncio.to_thread(served.engine.close, CLOSING_SECONDS)

    MultiPartParser.spool_max_size = MAX_BODY  # uploads stay in memory
    app = FastAPI(title="Babeldraw", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.served = served
    app.openapi = functools.partial(_described, app)  # type: ignore[method-assign]
    app.include_router(drawing.routes)
    app.include_router(understanding.routes)
    app.include_router(fine_tuning.routes)
    _add_own_routes(app, served)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(UserError, _user_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _failed)  # and then it is logged
    return Guard(app, keys=keys, metrics=served.metrics)


def _add_own_routes(app: FastAPI, served: Served) -> None:
    @app.get("/healthz")
    async def healthz() -> Response:
        alive = served.engine.is_alive
        return JSONResponse({"status": "ok" if alive else "ending"}, 200 if alive else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(served.metrics.text(), media_type="text/plain; version=0.0.4")

    @app.get("/v1/models")
    async def models(request: Request) -> dict[str, Any]:
        drawers = served.drawers_of(request.state.owner).values()
        return {"object": "list", "data": [served.described(one) for one in drawers]}

    @app.get("/v1/models/{name}", responses=drawing.REFUSED)
    async def model(request: Request, name: str) -> dict[str, Any]:
        return served.described(served.drawer(name, request.state.owner))

    @app.get("/v1/models/{name}/examples", responses=drawing.REFUSED)
    async def examples(request: Request, name: str) -> dict[str, Any]:
        """The real pictures of prompts that a model knows, where the server has its data."""
        drawer = served.drawer(name, request.state.owner)
        real = await anyio.to_thread.run_sync(lambda: drawer.real)
        data = [
            {"prompt": text, "held_out": text in drawer.held_out, "b64_json": pictures.to_png(one)}
            for text, one in real.items()
        ]
        return {"object": "list", "data": data}

    # Read once: no path of a request is looked up on the disk.
    pages = {file.name: file.read_bytes() for file in PAGE.iterdir() if file.is_file()}

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return Response(pages["index.html"], media_type="text/html")

    @app.get("/page/{name}", include_in_schema=False)
    async def page(name: str) -> Response:
        if name not in pages:
            raise HTTPException(404)
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(pages[name], media_type=kind)


def _described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, without FastAPI's own errors: ours have another form."""
    if app.openapi_schema is None:
        found = get_openapi(title=app.title, version=babeldraw.__version__, routes=app.routes)
        for methods in found["paths"].values():
            for operation in methods.values():
                operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            found["components"]["schemas"].pop(name, None)
        app.openapi_schema = found
    return app.openapi_schema


async def _refused(request: Request, error: Any) -> Response:
    return JSONResponse(error.body, error.status, error.headers)


async def _user_error(request: Request, error: Any) -> Response:
    return await _refused(request, Refusal(400, str(error)))


async def _failed(request: Request, error: Any) -> Response:
    return await _refused(request, refusals.failed())


async def _invalid(request: Request, error: Any) -> Response:
    """Says which field, and nothing of what it held."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"] if part != "body"]
    field = ".".join(place)[:100] or None
    what = f"the field {field!r}: " if field else "the request: "
    refusal = Refusal(400, f"{what}{first['msg']}.", code=first["type"], param=field)
    return await _refused(request, refusal)


async def _http_error(request: Request, error: Any) -> Response:
    said = {
        400: "the body cannot be read; send the JSON, or the form, that is documented.",
        404: "there is nothing here; /openapi.json tells what is.",
        405: "this is not asked with that method; /openapi.json tells with which.",
    }
    refusal = Refusal(error.status_code, said.get(error.status_code, str(error.detail)))
    response = await _refused(request, refusal)
    response.headers.update(error.headers or {})
    return response
