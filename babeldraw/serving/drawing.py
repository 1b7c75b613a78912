"""The routes that draw: OpenAI's `images/generations` and `images/edits`."""

import asyncio
import time
from typing import Annotated, Any

import anyio.to_thread
import numpy as np
from fastapi import APIRouter, Body, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from jaxtyping import Bool
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from babeldraw.sampling.pieces import Wanted
from babeldraw.sampling.regions import positions_of_box
from babeldraw.serving import pictures, watching
from babeldraw.serving.engine import Drawn, Job
from babeldraw.serving.judges import Judge
from babeldraw.serving.models import Drawer, named_size, padded
from babeldraw.serving.refusals import Refusal
from babeldraw.serving.requests import Drawing, Edit, Generation
from babeldraw.serving.served import Served

REFUSED: dict[int | str, dict[str, Any]] = {
    status: {
        "description": said,
        "content": {"application/json": {"schema": {"type": "object", "required": ["error"]}}},
    }
    for status, said in {
        400: "the request is not what this server takes",
        401: "the key is wrong or missing",
        403: "the name or the origin is none that may ask",
        404: "there is no such model, or this server has no network for it",
        408: "the body was too slow",
        413: "the body is too large",
        429: "the queue is full",
        503: "the server ends, or moderation fails",
        504: "not done in time",
    }.items()
}
_FILE = {"type": "string", "format": "binary"}
_FORM = Edit.model_json_schema()
_FORM = {**_FORM, "properties": {**_FORM["properties"], "image": _FILE, "mask": _FILE}}
_FORM = {**_FORM, "required": ["image", *_FORM["required"]]}

routes = APIRouter(prefix="/v1/images", responses=REFUSED)


@routes.post("/generations")
async def generations(request: Request, asked: Annotated[Generation, Body()]) -> Response:
    """Pictures of a prompt, and of further texts that are weighted against it."""
    served: Served = request.app.state.served
    drawer = served.drawer(asked.model, request.state.owner)
    return await _draw(request, served, drawer, asked, "image_generation")


@routes.post(
    "/edits",
    openapi_extra={"requestBody": {"content": {"multipart/form-data": {"schema": _FORM}}}},
)
async def edits(request: Request) -> Response:
    """A picture of which a part is drawn anew: a box, what a mask leaves free, or lower rows."""
    served: Served = request.app.state.served
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Refusal(400, "an edit is a form with files; send multipart/form-data.")
    async with request.form(max_files=2, max_fields=30) as form:
        fields = [(name.removesuffix("[]"), value) for name, value in form.multi_items()]
        if len({name for name, _ in fields}) < len(fields):
            raise Refusal(400, "a field is there twice; one picture is edited at a time.")
        files = {}
        for name, value in fields:
            if isinstance(value, UploadFile):
                files[name] = await value.read()
        try:
            asked = Edit.model_validate(
                {name: value for name, value in fields if name not in files}
            )
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from None
    if "image" not in files or set(files) - {"image", "mask"}:
        raise Refusal(400, "an edit has the file image, and may have mask.", param="image")
    drawer = served.drawer(asked.model, request.state.owner)
    image = files["image"]
    stay = await anyio.to_thread.run_sync(_staying, drawer, asked, image, files.get("mask"))
    picture = await anyio.to_thread.run_sync(
        pictures.read, image, drawer.size, drawer.view, "image"
    )
    encoded = served.engine.call(lambda: drawer.codec.encode(picture[None])[0])
    given = await watching.result(request, [encoded], served.seconds)
    return await _draw(request, served, drawer, asked, "image_edit", (given[0], stay))


async def _draw(
    request: Request,
    served: Served,
    drawer: Drawer,
    asked: Drawing,
    event: str,
    start: tuple[np.ndarray, np.ndarray] | None = None,
) -> Response:
    """Moderates, draws, and answers.

    Args:
      start: tokens of a picture, and which of them stay.
    """
    _check(served, drawer, asked)
    unsaid = set(drawer.run.defaults) - asked.model_fields_set
    asked = asked.model_copy(update={name: drawer.run.defaults[name] for name in unsaid})
    terms = asked.terms if isinstance(asked, Generation) else []
    texts = [asked.prompt, *(term.text for term in terms)]
    await served.moderation.check_texts(texts)
    conditions, warnings = await anyio.to_thread.run_sync(drawer.read, texts)
    given, stay = start or (None, None)
    wanted = Wanted(
        conditions,
        (asked.guidance_weight, *(term.weight for term in terms)),
        asked.seed,
        temperature=asked.temperature,
        cutoff=asked.cutoff,
        given=given,
        stay=stay,
    )
    if terms:
        wanted = padded(wanted)
    until = time.monotonic() + served.seconds
    jobs = [
        Job(drawer.name, drawer.pieces, wanted._replace(number=number), until)
        for number in range(asked.n)
    ]
    plain = asked.size == named_size(drawer.size)
    upscaler = None if plain else drawer.upscaler
    common = {
        "size": named_size(drawer.size if plain else drawer.enlarged),
        "quality": "auto",
        "background": "opaque",
        "output_format": "png",
        "model": drawer.name,
        "warnings": warnings,
    }

    async def finished(number: int, drawn: Drawn) -> dict[str, Any]:
        image = drawn.image
        if upscaler is not None:
            larger = served.engine.call(lambda: upscaler(image[None])[0])
            image = await asyncio.wrap_future(larger)
        said = _said(drawer, asked, number, drawn.score)
        picture = {"b64_json": pictures.to_png(image, said), "revised_prompt": None}
        return picture | {"seed": asked.seed, "number": number, "score": round(drawn.score, 4)}

    if asked.stream:
        looks = 0 if served.moderation.sees_pictures else asked.partial_images
        return watching.stream(request, served, jobs, looks, event, common, finished)
    served.engine.submit(jobs)
    drawn = await watching.result(request, [job.future for job in jobs], served.seconds)
    await served.moderation.check_pictures([one.image for one in drawn])
    data = [await finished(number, one) for number, one in enumerate(drawn)]
    judge = served.judges.get(drawer.name)
    if asked.rerank and judge is not None:
        data = await _ranked(request, served, judge, asked.prompt, drawn, data)
    return JSONResponse({"created": int(time.time()), "data": data} | common)


async def _ranked(
    request: Request,
    served: Served,
    judge: Judge,
    prompt: str,
    drawn: list[Drawn],
    data: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    images = np.stack([one.image for one in drawn])
    call = served.engine.call(lambda: judge.similarity(prompt, images))
    (found,) = await watching.result(request, [call], served.seconds)
    ranked = [one | {"similarity": round(float(s), 4)} for one, s in zip(data, found, strict=True)]
    return sorted(ranked, key=lambda one: -one["similarity"])


def _check(served: Served, drawer: Drawer, asked: Drawing) -> None:
    sizes = list(dict.fromkeys(map(named_size, (drawer.size, drawer.enlarged))))
    if asked.size not in ("auto", *sizes):
        raise Refusal(
            400,
            f"{drawer.name} draws pictures of {' or '.join(sizes)}; ask for that size, or for "
            "auto.",
            code="invalid_size",
            param="size",
        )
    if asked.partial_images and not asked.stream:
        raise Refusal(400, "partial_images are sent in a stream; set stream.", param="stream")
    if not asked.rerank:
        return
    judge = served.judges.get(drawer.name)
    if judge is None:
        raise Refusal(404, "this server has no CoCa to rerank with.", param="rerank")
    if asked.stream:
        raise Refusal(400, "what is reranked comes as a whole; leave stream out.", param="rerank")
    judge.check_size(drawer.size)


def _staying(
    drawer: Drawer, asked: Edit, image: bytes, mask: bytes | None
) -> Bool[np.ndarray, "n"]:
    """Which tokens of the picture stay.

    Raises:
      Refusal: it is not said, or said twice, or nothing of the picture is to be drawn.
    """
    tokenizer = drawer.sampler.tokenizer
    rows, columns = tokenizer.grid
    ways = [asked.rows is not None, asked.box is not None, mask is not None]
    if sum(ways) > 1:
        raise Refusal(400, "rows, box and mask each say what is drawn; give one of them.")
    if asked.rows is not None:
        if asked.rows >= rows:
            raise Refusal(
                400,
                f"a picture has {rows} rows of tokens; keep 1 to {rows - 1} of them.",
                param="rows",
            )
        return np.arange(tokenizer.num_tokens) < asked.rows * columns
    if asked.box is not None:
        left, top, width, height = map(int, asked.box.split(","))
        box = left, top, width, height
        drawn = positions_of_box(box, (rows, columns), tokenizer.patch_size)
        return np.isin(np.arange(tokenizer.num_tokens), drawn, invert=True)
    free = pictures.transparent(image if mask is None else mask, drawer.size, drawer.view, "mask")
    side = tokenizer.patch_size
    stay: np.ndarray = ~free.reshape(rows, side, columns, side).any(axis=(1, 3)).reshape(-1)
    if stay.all():
        raise Refusal(
            400,
            "nothing is to be drawn: give rows, box, or a mask that is transparent there.",
            param="mask",
        )
    return stay


def _said(drawer: Drawer, asked: Drawing, number: int, score: float) -> dict[str, Any]:
    """What the file says of itself, as those of `babeldraw sample`."""
    left_out = {"prompt", "model", "user", "n", "stream", "partial_images", "seed"}
    settings = asked.model_dump(exclude=left_out, exclude_defaults=True)
    settings |= {name: getattr(asked, name) for name in drawer.run.defaults}
    return {
        "prompt": asked.prompt,
        "seed": str(asked.seed),
        "sample": str(number),
        "model": drawer.name,
        "step": str(drawer.run.step),
        "score": f"{score:.4f}",
        "settings": settings,
    }
