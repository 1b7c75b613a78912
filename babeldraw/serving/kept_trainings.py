"""A training's record and files: a folder for each.

`training.json` says what is asked for and how far it is; `pictures/` and `run/` are there as long
as they are needed, `lora.safetensors`, what was learned, as long as the model is.
"""

import dataclasses
import json
import logging
import re
import shutil
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from etils import epath
from jaxtyping import UInt8
from PIL import Image

from babeldraw import files

CHANGES = "lora.safetensors"

_RECORD, _LOG = "training.json", "log.txt"
_PICTURES, _RUN = "pictures", "run"
_LONGEST = 2**20
_log = logging.getLogger(__name__)

Captioned = tuple[UInt8[np.ndarray, "height width 3"], str]
"""A picture, and what it shows beside the word; may be empty."""


@dataclasses.dataclass(frozen=True)
class Training:
    """What is asked for, and how far it is.

    Attributes:
      owner: who asked, as `Guard` names them.
      base: the name of the model that it begins with.
      created, finished: Unix time in seconds.
      status: queued, running, succeeded, failed or cancelled, as OpenAI's are.
    """

    id: str
    owner: str
    base: str
    word: str
    pictures: int
    created: int
    status: str = "queued"
    finished: int | None = None

    @property
    def name(self) -> str:
        """Of the model that comes of it."""
        word = re.sub(r"[^\w.-]+", "-", self.word.lower()).strip("-.")
        return f"{self.base[:50]}:{word[:30]}:{self.id[-6:]}"

    @property
    def is_open(self) -> bool:
        """Whether there is something to do yet."""
        return self.status in ("queued", "running")

    def ended(self, status: str) -> "Training":
        """The same, over now."""
        return dataclasses.replace(self, status=status, finished=int(time.time()))


class Progress(NamedTuple):
    """How far a training is.

    Attributes:
      step, steps: those that are done, and all; 0 of 0 before they begin.
      warnings: what is wrong with the pictures, as far as clients can do something.
    """

    step: int
    steps: int
    warnings: list[str]


@dataclasses.dataclass(frozen=True)
class Place:
    """The folder in which all of them are."""

    folder: epath.Path

    def of(self, one: Training) -> epath.Path:
        """Its own folder."""
        return self.folder / one.id

    def log(self, one: Training) -> epath.Path:
        """What its process says."""
        return self.of(one) / _LOG

    def pictures(self, one: Training) -> epath.Path:
        """What it learns from."""
        return self.of(one) / _PICTURES

    def run(self, one: Training) -> epath.Path:
        """The output of `babeldraw finetune`."""
        return self.of(one) / _RUN

    def changes(self, one: Training) -> epath.Path:
        """What it has learned."""
        return self.of(one) / CHANGES

    def read(self) -> list[Training]:
        """All records, the oldest first; what is none is named in the log."""
        found = []
        for record in self.folder.glob(f"*/{_RECORD}"):
            try:
                found.append(Training(**json.loads(record.read_text())))
            except (TypeError, ValueError):
                _log.warning("%s is no record of a training, and is left out", record)
        return sorted(found, key=lambda one: (one.created, one.id))

    def keep(self, one: Training) -> None:
        """Writes its record."""
        with files.written_whole(self.of(one) / _RECORD) as file:
            file.write(json.dumps(dataclasses.asdict(one), indent=2).encode())

    def write_pictures(self, one: Training, pictures: Sequence[Captioned]) -> None:
        """Drawn anew, under names of ours: of the files that were sent, none is kept."""
        folder = self.pictures(one)
        folder.mkdir(parents=True)
        for number, (image, caption) in enumerate(pictures):
            Image.fromarray(image).save(folder / f"{number:02d}.png")
            if caption:
                (folder / f"{number:02d}.txt").write_text(f"{caption}\n")

    def progress(self, one: Training) -> Progress:
        """As its process tells it."""
        try:
            with self.log(one).open("rb") as log:
                said = log.read(_LONGEST).decode(errors="replace")
        except OSError:
            said = ""
        found = re.findall(r"^step (\d+)/(\d+)", said, re.MULTILINE)
        done, steps = found[-1] if found else (0, 0)
        kept = r"^(the tokenizer gives your pictures back at .*, so that what is drawn is smeared)"
        warnings = [
            f"{found}; pictures of the kind that the model was made for come back better."
            for found in re.findall(kept, said, re.MULTILINE)[:1]
        ]
        return Progress(int(done), int(steps), warnings)

    def take_changes(self, one: Training) -> None:
        """Out of the run."""
        shutil.move(self.run(one) / CHANGES, self.changes(one))

    def clear(self, one: Training) -> None:
        """Deletes the pictures, and all that was made of them on the way."""
        for folder in (self.pictures(one), self.run(one)):
            shutil.rmtree(folder, ignore_errors=True)

    def remove(self, one: Training) -> None:
        """Deletes everything."""
        shutil.rmtree(self.of(one), ignore_errors=True)
