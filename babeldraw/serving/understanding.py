"""The routes that read pictures: their tokens and back, captions, scores, classes."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import anyio.to_thread
import numpy as np
from fastapi import APIRouter, Body, Request
from jaxtyping import UInt8

from babeldraw.serving import pictures, watching
from babeldraw.serving.drawing import REFUSED
from babeldraw.serving.judges import Classify, Judge
from babeldraw.serving.refusals import Refusal
from babeldraw.serving.requests import Detokenize, Look, Score, Tokenize
from babeldraw.serving.served import Served

if TYPE_CHECKING:
    from babeldraw.data.picture_files.view import View

MOST_CLASSES = 5
"""Of a picture, the most probable first."""

Images = UInt8[np.ndarray, "n height width 3"]
Result = TypeVar("Result")
routes = APIRouter(prefix="/v1", responses=REFUSED)


@routes.post("/tokenize")
async def tokenize(request: Request, asked: Annotated[Tokenize, Body()]) -> dict[str, Any]:
    """Pictures as rows of tokens, in raster order."""
    served: Served = request.app.state.served
    drawer = served.drawer(asked.model, request.state.owner)
    images = await _read(asked.images, drawer.size, drawer.view)
    tokens = await _run(request, lambda: drawer.codec.encode(images))
    return {"model": drawer.name, "grid": drawer.described["grid"], "tokens": tokens.tolist()}


@routes.post("/detokenize")
async def detokenize(request: Request, asked: Annotated[Detokenize, Body()]) -> dict[str, Any]:
    """Pictures of rows of tokens."""
    served: Served = request.app.state.served
    drawer = served.drawer(asked.model, request.state.owner)
    count = drawer.codec.model.num_tokens
    if any(len(row) != count for row in asked.tokens):
        raise Refusal(400, f"a picture has {count} tokens; give as many each.", param="tokens")
    images = await _run(request, lambda: drawer.codec.decode(np.array(asked.tokens, np.int32)))
    await served.moderation.check_pictures(list(images))
    data = [{"b64_json": pictures.to_png(image)} for image in images]
    return {"model": drawer.name, "data": data}


@routes.post("/caption")
async def caption(request: Request, asked: Annotated[Look, Body()]) -> dict[str, Any]:
    """What the server's CoCa calls pictures."""
    judge = _judge(request, asked.model)
    images = await _read(asked.images, judge.size, judge.run.view)
    captions = await _run(request, lambda: judge.caption(images))
    await request.app.state.served.moderation.check_texts(captions)
    return {"data": [{"caption": one} for one in captions]}


@routes.post("/score")
async def score(request: Request, asked: Annotated[Score, Body()]) -> dict[str, Any]:
    """How well pictures fit a prompt: the cosine of their embeddings, from -1 to 1."""
    judge = _judge(request, asked.model)
    images = await _read(asked.images, judge.size, judge.run.view)
    found = await _run(request, lambda: judge.similarity(asked.prompt, images))
    return {"data": [{"similarity": round(float(one), 4)} for one in found]}


@routes.post("/classify")
async def classify(request: Request, asked: Annotated[Look, Body()]) -> dict[str, Any]:
    """The most probable classes of pictures, as the server's probe sees them."""
    found: Classify | None = request.app.state.served.classify
    if found is None:
        raise Refusal(404, "this server has no classifier; start it with --classifier.")
    _check_unnamed(asked.model)
    images = await _read(asked.images, found.size, found.view)
    chances = await _run(request, lambda: found.classifier(images))
    names = found.classifier.classes
    return {
        "data": [
            {
                "classes": [
                    {"name": names[number], "probability": round(float(row[number]), 4)}
                    for number in np.argsort(-row)[:MOST_CLASSES]
                ]
            }
            for row in chances
        ]
    }


def _judge(request: Request, model: str | None) -> Judge:
    judge: Judge | None = request.app.state.served.judge
    if judge is None:
        raise Refusal(404, "this server has no CoCa; start it with --rerank.")
    _check_unnamed(model)
    return judge


def _check_unnamed(model: str | None) -> None:
    if model is not None:
        raise Refusal(400, "a server has one network for this; leave model out.", param="model")


async def _read(fields: Sequence[str], size: tuple[int, int], view: "View") -> Images:
    def read() -> Images:
        return np.stack(
            [
                pictures.read(pictures.from_base64(field, "images"), size, view, "images")
                for field in fields
            ]
        )

    return await anyio.to_thread.run_sync(read)


async def _run(request: Request, function: Callable[[], Result]) -> Result:
    served: Served = request.app.state.served
    (found,) = await watching.result(request, [served.engine.call(function)], served.seconds)
    return found
