"""The routes of personal models: OpenAI's fine-tuning jobs, with pictures in the place of files."""

from typing import Any

import anyio.to_thread
import numpy as np
from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from jaxtyping import UInt8
from PIL import Image
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from babeldraw.serving import pictures
from babeldraw.serving.drawing import REFUSED
from babeldraw.serving.kept_trainings import Training
from babeldraw.serving.refusals import Refusal
from babeldraw.serving.requests import Learn
from babeldraw.serving.served import Served
from babeldraw.serving.trainings import Trainings

LEAST, MOST = 5, 50
"""Pictures of a training."""
LARGEST = 1024
"""Pixels of a picture's longer side, above which it is reduced."""

_FIELDS = 2 * MOST + 10
_FILE = {"type": "string", "format": "binary"}
_FORM = Learn.model_json_schema()
_FILES = {"type": "array", "items": _FILE, "minItems": LEAST, "maxItems": MOST}
_FORM = {**_FORM, "properties": {**_FORM["properties"], "image": _FILES}}
_FORM = {**_FORM, "required": ["image", *_FORM["required"]]}

routes = APIRouter(prefix="/v1", responses=REFUSED)


@routes.post(
    "/fine_tuning/jobs",
    openapi_extra={"requestBody": {"content": {"multipart/form-data": {"schema": _FORM}}}},
)
async def begin(request: Request) -> dict[str, Any]:
    """Queues a training: a form of pictures, and a word for what they have in common."""
    trainings, served = _trainings(request), request.app.state.served
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Refusal(400, "pictures come as a form with files; send multipart/form-data.")
    files: list[bytes] = []
    fields: dict[str, Any] = {"caption": []}
    async with request.form(max_files=_FIELDS, max_fields=_FIELDS) as form:
        for name, value in ((name.removesuffix("[]"), value) for name, value in form.multi_items()):
            if isinstance(value, UploadFile) != (name == "image"):
                raise Refusal(400, "the files of a training are called image, and nothing else is.")
            if isinstance(value, UploadFile):
                files.append(await value.read())
            elif name == "caption":
                fields["caption"].append(value)
            elif name in fields:
                raise Refusal(400, "a field is there twice; a training has one of each.")
            else:
                fields[name] = value
    try:
        asked = Learn.model_validate(fields)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None
    if not LEAST <= len(files) <= MOST:
        raise Refusal(
            400, f"there are {len(files)} pictures; give {LEAST} to {MOST}.", param="image"
        )
    if asked.caption and len(asked.caption) != len(files):
        raise Refusal(
            400,
            f"there are {len(files)} pictures and {len(asked.caption)} captions; give one a "
            "picture, which may be empty, or none.",
            param="caption",
        )
    word, *captions = map(_line, [asked.word, *(asked.caption or [""] * len(files))])
    if not any(letter.isalnum() for letter in word):
        raise Refusal(400, "a word has letters; give one, such as 'my cat'.", param="word")
    drawer = served.drawer(asked.model, request.state.owner)
    await served.moderation.check_texts([word, *filter(None, captions)])
    colour = drawer.view.colour
    images = await anyio.to_thread.run_sync(lambda: [_read(file, colour) for file in files])
    await served.moderation.check_pictures(images)
    captioned = list(zip(images, captions, strict=True))
    one = await anyio.to_thread.run_sync(
        trainings.submit, request.state.owner, drawer, word, captioned
    )
    return _said(trainings, one)


@routes.get("/fine_tuning/jobs")
async def listed(request: Request) -> dict[str, Any]:
    """The client's trainings, the latest first."""
    trainings = _trainings(request)
    data = [_said(trainings, one) for one in trainings.of(request.state.owner)]
    return {"object": "list", "data": data, "has_more": False}


@routes.get("/fine_tuning/jobs/{name}")
async def one_of_them(request: Request, name: str) -> dict[str, Any]:
    """How far a training is."""
    trainings = _trainings(request)
    return _said(trainings, trainings.find(name, request.state.owner))


@routes.post("/fine_tuning/jobs/{name}/cancel")
async def cancel(request: Request, name: str) -> dict[str, Any]:
    """Ends a training, whose pictures are then taken away."""
    trainings = _trainings(request)
    one = trainings.find(name, request.state.owner)
    return _said(trainings, await anyio.to_thread.run_sync(trainings.cancel, one))


@routes.delete("/models/{name}")
async def delete(request: Request, name: str) -> dict[str, Any]:
    """Takes a personal model away."""
    trainings = _trainings(request)
    await anyio.to_thread.run_sync(trainings.delete, name, request.state.owner)
    return {"id": name, "object": "model", "deleted": True}


def _trainings(request: Request) -> Trainings:
    served: Served = request.app.state.served
    if served.trainings is None:
        raise Refusal(404, "this server trains no models; start it with --allow-training.")
    return served.trainings


def _line(text: str) -> str:
    return " ".join(text.split())


def _read(file: bytes, background: tuple[int, int, int]) -> UInt8[np.ndarray, "height width 3"]:
    whole = pictures.decode(file, background, "image")
    if max(whole.shape) <= LARGEST:
        return whole
    reduced = Image.fromarray(whole)
    reduced.thumbnail((LARGEST, LARGEST))
    return np.asarray(reduced)


def _said(trainings: Trainings, one: Training) -> dict[str, Any]:
    """As OpenAI's object of a job, with what there is of it."""
    progress = trainings.progress(one)
    failed = {
        "code": "training_failed",
        "message": "the training failed; the server's log has the reason.",
        "param": None,
    }
    return {
        "object": "fine_tuning.job",
        "id": one.id,
        "model": one.base,
        "word": one.word,
        "pictures": one.pictures,
        "created_at": one.created,
        "finished_at": one.finished,
        "status": one.status,
        **progress._asdict(),
        "fine_tuned_model": one.name if one.status == "succeeded" else None,
        "error": failed if one.status == "failed" else None,
        "hyperparameters": {},
        "organization_id": "",
        "result_files": [],
        "seed": 0,
        "trained_tokens": None,
        "training_file": "",
        "validation_file": None,
    }
