"""What pictures are asked for: texts, classes, or nothing at all, in the terms of a run's model."""

import argparse
import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from babeldraw.cli.support.known_prompts import known_to, unknown_words
from babeldraw.cli.support.prompts import encode_prompts, shown
from babeldraw.errors import UserError
from babeldraw.files import path

if TYPE_CHECKING:
    import numpy as np

    from babeldraw.cli.support.exported import Exported
    from babeldraw.cli.support.runs import Run
    from babeldraw.models.encoder_decoder import EncoderDecoder
    from babeldraw.models.image_decoder import ImageDecoder
    from babeldraw.training.keeping.prompts import Prompts

UNCONDITIONAL = "unconditional"
CLOSE = 3
"""Classes named of those that are spelt nearly like an unknown one."""


class Asked(NamedTuple):
    """One condition.

    Attributes:
      name: of its files, and under its pictures.
      condition: int32[*condition_shape], as the model reads it.
      metadata: what the files of its pictures say of it.
    """

    name: str
    condition: "np.ndarray"
    metadata: Mapping[str, str]


class Conditions(Protocol):
    """Reads what the command line says for one run.

    Attributes:
      kind: what a line of a conversation is.
    """

    kind: str

    def read(self, said: Sequence[str]) -> list[Asked]:
        """Raises a `UserError` where it means nothing to the model."""

    def doubts(self, said: Sequence[str]) -> str | None:
        """One sentence on what the run may not know."""


@dataclasses.dataclass(frozen=True)
class Texts:
    """Of a text-to-image run; `known` is None in one of before."""

    run: "Run | Exported"
    model: "EncoderDecoder"
    known: "Prompts | None"
    kind = "prompt"

    def read(self, said: Sequence[str]) -> list[Asked]:
        tokens = encode_prompts(said, self.run.vocabulary, self.model)
        return [Asked(text, row, {"prompt": text}) for text, row in zip(said, tokens, strict=True)]

    def doubts(self, said: Sequence[str]) -> str | None:
        return None if self.known is None else unknown_words(said, self.known)


@dataclasses.dataclass(frozen=True)
class Classes:
    """Of a run with classes; `names` are empty in one that keeps none."""

    model_dir: str
    names: Sequence[str]
    count: int
    kind = "class"

    def read(self, said: Sequence[str]) -> list[Asked]:
        import numpy as np

        return [
            Asked(self._name(number), np.asarray(number, np.int32), {"class": self._name(number)})
            for number in map(self._number, said)
        ]

    def doubts(self, said: Sequence[str]) -> str | None:
        return None

    def _name(self, number: int) -> str:
        return self.names[number] if self.names else f"class {number}"

    def _number(self, said: str) -> int:
        """By its name, in any case where only one is meant, or else by its number."""
        for same in (str, str.casefold):
            found = [number for number, name in enumerate(self.names) if same(name) == same(said)]
            if len(found) > 1:
                numbers = " and ".join(map(str, found))
                raise UserError(f"{shown(said)} may be the classes {numbers}; give one of those.")
            if found:
                return found[0]
        if said.isdecimal() and int(said) < self.count:
            return int(said)
        if not self.names:
            raise UserError(
                f"{self.model_dir} keeps no names of its classes, and {shown(said)} is none of "
                f"their numbers; give one from 0 to {self.count - 1}."
            )
        folded = {name.casefold(): name for name in self.names}
        close = difflib.get_close_matches(said.casefold(), folded, n=CLOSE)
        named = ", ".join(shown(folded[name]) for name in close)
        hint = f" (closest: {named})" if close else ""
        raise UserError(
            f"{shown(said)} is none of the {self.count} classes of {self.model_dir}{hint}; "
            "--examples lists them."
        )


@dataclasses.dataclass(frozen=True)
class Nothing:
    """Of any run: what it draws when it is told nothing."""

    model: "ImageDecoder"
    kind = UNCONDITIONAL

    def read(self, said: Sequence[str]) -> list[Asked]:
        import numpy as np

        empty = np.full(self.model.condition_shape, self.model.no_condition, np.int32)
        return [Asked(UNCONDITIONAL, empty, {}) for _ in said]

    def doubts(self, said: Sequence[str]) -> str | None:
        return None


def conditions_of(
    args: argparse.Namespace, run: "Run | Exported", model: "ImageDecoder"
) -> Conditions:
    """What reads the conditions of a command.

    Raises:
      UserError: the model does not read what is asked for.
    """
    where = run.model_dir
    if args.unconditional:
        return Nothing(model)
    if model.condition_shape:
        if args.classes:
            raise UserError(f"{where} knows texts and no classes; give a prompt without --class.")
        return Texts(run, model, known_to(run))
    if not model.num_classes:
        raise UserError(
            f"{where} was trained on pictures alone, and reads neither texts nor classes; give "
            "--unconditional, and nothing else to draw."
        )
    if args.prompts:
        raise UserError(
            f"{where} knows classes and reads no texts such as {shown(args.prompts[0])}; give "
            "--class NAME (--examples lists them)."
        )
    if args.rerank:
        raise UserError(
            "--rerank compares pictures with a text, and a class is none; leave it out."
        )
    return class_conditions(where, model)


def class_conditions(model_dir: str, model: "ImageDecoder") -> Classes:
    """Of a run with classes.

    Raises:
      UserError: it keeps names of more or fewer classes than its model has.
    """
    from babeldraw.training.keeping import class_names

    names = class_names.read(path(model_dir))
    if names and len(names) != model.num_classes:
        raise UserError(
            f"{model_dir}/{class_names.NAME} names {len(names)} classes and the model has "
            f"{model.num_classes}; bring the file back from a copy of the run."
        )
    return Classes(model_dir, names, model.num_classes)
