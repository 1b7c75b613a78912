"""The models of a server: what each draws, and how it reads what it is asked for."""

import dataclasses
import functools
import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from babeldraw.cli.support.conditions import class_conditions
from babeldraw.cli.support.exported import Exported
from babeldraw.cli.support.exported_runs import can_go_on
from babeldraw.cli.support.finetuning import add_word
from babeldraw.cli.support.known_prompts import known_to
from babeldraw.cli.support.models import open_model
from babeldraw.cli.support.prompts import shown
from babeldraw.cli.support.runs import Run
from babeldraw.errors import UserError
from babeldraw.objectives.text_to_image import TextToImage
from babeldraw.pieces import encode
from babeldraw.sampling.codec import Codec
from babeldraw.sampling.pieces import PieceSampler, Wanted
from babeldraw.serving.real import real_pictures
from babeldraw.serving.requests import MOST_TERMS
from babeldraw.sizes import height_and_width

if TYPE_CHECKING:
    from babeldraw.data.picture_files.view import View
    from babeldraw.sampling.pictures import Sampler
    from babeldraw.sampling.upscale import Upscaler

EXAMPLES = 12


@dataclasses.dataclass(frozen=True)
class Drawer:
    """A model that draws, with its tokenizer.

    Attributes:
      word: what it has learned here, of a client's pictures; empty of any other.
    """

    name: str
    run: Run | Exported
    created: int
    word: str = ""

    @functools.cached_property
    def sampler(self) -> "Sampler":
        """Its networks."""
        return self.run.sampler()

    @functools.cached_property
    def pieces(self) -> PieceSampler:
        """What draws."""
        return PieceSampler(self.sampler)

    @functools.cached_property
    def codec(self) -> Codec:
        """Pictures to tokens and back, one at a time."""
        sampler = self.sampler
        return Codec(sampler.tokenizer, sampler.tokenizer_params, batch_size=1)

    @functools.cached_property
    def upscaler(self) -> "Upscaler | None":
        """The super-resolution that an exported model brings."""
        return self.run.upscaler() if self.run.brings("upscaler") else None

    @property
    def reads(self) -> str:
        """What a prompt is to it: "prompt", "class", or "nothing"."""
        if self.sampler.model.condition_shape:
            return "prompt"
        return "class" if self.sampler.model.num_classes else "nothing"

    @property
    def learns(self) -> bool:
        """Whether `babeldraw finetune` goes on with it, and it is not what came of that."""
        if self.run.loras:
            return False
        if isinstance(self.run, Exported):
            return can_go_on(self.run)
        return type(self.run.objective) is TextToImage

    @functools.cached_property
    def view(self) -> "View":
        """How it was shown pictures."""
        return self.run.view

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its pictures, in pixels."""
        return height_and_width(self.sampler.tokenizer.image_size)

    @property
    def enlarged(self) -> tuple[int, int]:
        """Height and width of what is given out: enlarged, where the model brings that."""
        factor = 1 if self.upscaler is None else self.upscaler.model.factor
        return self.size[0] * factor, self.size[1] * factor

    def read(self, texts: Sequence[str]) -> tuple[np.ndarray, list[str]]:
        """Conditions `int32[texts, *condition_shape]`, and sentences on what is not read of them.

        Raises:
          UserError: they mean nothing to the model.
        """
        model = self.sampler.model
        if self.reads == "nothing":
            return np.full((len(texts),), model.no_condition, np.int32), [
                "this model was trained on pictures alone, and reads no prompt."
            ]
        if self.reads == "class":
            read = self._classes.read(texts)
            return np.stack([one.condition for one in read]), []
        warnings = []
        for text in texts:
            if not text.strip():
                raise UserError("a prompt is empty; say what to draw.")
            count = len(self.run.vocabulary.encode(text))
            if count > model.text_length - 1:
                warnings.append(
                    f"{shown(text)} has {count} text tokens; the model reads the first "
                    f"{model.text_length - 1}."
                )
        known = self._known
        if known is not None:
            words = list(dict.fromkeys(word for text in texts for word in known.unknown(text)))
            if words:
                named = ", ".join(map(shown, words[:5]))
                warnings.append(f"training hardly ever had, or never, the words {named}.")
        return encode(texts, self.run.vocabulary, model.text_length), warnings

    @functools.cached_property
    def _classes(self) -> Any:
        # By its name: where it lies is no business of clients.
        classes = class_conditions(self.run.model_dir, self.sampler.model)
        return dataclasses.replace(classes, model_dir=self.name)

    @functools.cached_property
    def _known(self) -> Any:
        return known_to(self.run)

    @functools.cached_property
    def real(self) -> dict[str, UInt8[np.ndarray, "height width 3"]]:
        """The pictures of its examples, where its data are here; of what it learned here, none.

        Found when they are first asked for, which may take seconds.
        """
        if self.reads != "prompt" or self.word or not isinstance(self.run, Run):
            return {}
        try:
            return real_pictures(self.run, self._examples, self.size)
        except UserError:  # they are gone, or tokens
            return {}

    @property
    def held_out(self) -> Sequence[str]:
        """Those of its examples that it was not trained on."""
        return () if self._known is None else self._known.held_out[:EXAMPLES]

    @property
    def _examples(self) -> Sequence[str]:
        if self.reads == "class":
            names: Sequence[str] = self._classes.names
            return names
        known: list[str] = []
        if self.reads == "prompt" and self._known is not None:
            known = [*self._known.seen[:EXAMPLES], *self._known.held_out[:EXAMPLES]]
        return [self.word, *(add_word(one, self.word) for one in known)] if self.word else known

    @functools.cached_property
    def described(self) -> dict[str, Any]:
        """What it is, in JSON's types."""
        tokenizer = self.sampler.tokenizer
        return {
            "id": self.name,
            "object": "model",
            "created": self.created,
            "owned_by": "babeldraw",
            "step": self.run.step,
            "reads": self.reads,
            "size": named_size(self.size),
            "enlarged": named_size(self.enlarged),
            "drawing": self.run.defaults,
            "grid": list(tokenizer.grid),
            "patch_size": tokenizer.patch_size,
            "codebook_size": tokenizer.codebook_size,
            "drawing_steps": self.pieces.num_steps,
            "examples": list(self._examples),
        }

    def warm_up(self, sizes: Sequence[int]) -> int:
        """Compiles, or finds, all that requests run; returns how many programs these are."""
        model = self.sampler.model
        empty = np.full((1, *model.condition_shape), model.no_condition, np.int32)
        plain = Wanted(empty)
        guided = plain._replace(weights=(2.0,))
        several = padded(guided)
        for wanted in (plain, guided, several):
            for size in sizes:
                batch = self.pieces.begin([wanted], size)
                batch.advance(1)
                _ = batch.images
        blank = np.zeros((1, model.num_tokens), np.int32)
        self.codec.encode(self.codec.decode(blank))
        if self.upscaler is not None:
            self.upscaler(self.codec.decode(blank))
        _ = self.described
        return 7 * len(sizes) + 2 + (self.upscaler is not None)


def named_size(size: tuple[int, int]) -> str:
    """WIDTHxHEIGHT of a height and a width."""
    return f"{size[1]}x{size[0]}"


def padded(wanted: Wanted) -> Wanted:
    """The same picture, as one of a kind that all with several conditions are of.

    Further conditions have weight 0. Its noise is that of its own conditions.
    """
    short = 1 + MOST_TERMS - len(wanted.weights)
    conditions = np.concatenate([wanted.conditions, *[wanted.conditions[:1]] * short])
    return wanted._replace(
        conditions=conditions, weights=wanted.weights + (0.0,) * short, own=len(wanted.weights)
    )


def named(model: str) -> tuple[str, str]:
    """Name and folder of NAME=DIR, or of DIR alone.

    Raises:
      UserError: the name is none that a request could hold.
    """
    found = re.fullmatch(r"(?:([^=/]*)=)?(.+)", model)
    directory = found[2] if found else ""
    name = found[1] if found and found[1] is not None else directory.rstrip("/").split("/")[-1]
    if not re.fullmatch(r"[\w.:-]{1,100}", name):
        raise UserError(
            f"--model {model} names no model; give NAME=DIR, the name of letters, digits and ._:-"
        )
    return name, directory


def open_drawers(named: Sequence[tuple[str, str]], int8: bool = False) -> dict[str, Drawer]:
    """The models of NAME, DIR pairs, read whole.

    Args:
      int8: see `Run`.

    Raises:
      UserError: one is no model that draws, or two have one name.
    """
    drawers: dict[str, Drawer] = {}
    for name, directory in named:
        if name in drawers:
            raise UserError(f"two models are called {name}; give each --model a NAME= of its own.")
        opened = open_model(directory, wanted="sampler", int8=int8)
        drawers[name] = Drawer(name, opened, int(time.time()))
        _ = drawers[name].sampler
    return drawers
