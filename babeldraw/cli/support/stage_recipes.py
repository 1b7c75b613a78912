"""RUN/recipe.gin: what `babeldraw quickstart` has chosen for a stage, for people to go on from."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from babeldraw.cli.support import gin_config
from babeldraw.cli.support.gin_values import with_quotes
from babeldraw.errors import UserError
from babeldraw.files import written_whole

NAME = "recipe.gin"
"""In the run directory."""

_OF_THE_RUN = ("MODEL_DIR", "TOKENIZER_CHECKPOINT")


@dataclasses.dataclass(frozen=True)
class StageRecipe:
    """The recipe of one stage.

    Attributes:
      stage: `tokenizer`, `text_to_image` or `image_tokens`.
      directory: the run's.
      base: the gin file that it includes.
      settings: macros -> values, over that file's.
      overrides: `NAME=VALUE` of the command line that this stage has, over all.
    """

    stage: str
    directory: Path
    base: str
    settings: dict[str, Any]
    overrides: Sequence[str] = ()

    @property
    def file(self) -> Path:
        return self.directory / NAME

    def text(self, command: str, notes: Sequence[str] = ()) -> str:
        """The gin file; `notes` stand on top of it as comments."""
        lines = [f"# Written by `{command}`.", *(f"# {note}" for note in notes)]
        lines += [f"include {self.base!r}", ""]
        lines += [f"{name} = {value!r}" for name, value in self.settings.items()]
        lines += [with_quotes(override) for override in self.overrides]
        return "\n".join(lines) + "\n"

    def notes(self) -> list[str]:
        """Those on top of the file."""
        lines = self.file.read_text().splitlines()[1:]
        return [line.removeprefix("# ") for line in lines if line.startswith("# ")]

    def write(self, file: Path, command: str, notes: Sequence[str] = ()) -> None:
        """Whole or not at all."""
        file.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(file) as output:
            output.write(self.text(command, notes).encode())


def value(base: str, macro: str) -> Any:
    """What a gin file sets a macro to."""
    import gin

    gin_config.parse_gin([base], [], unneeded=_OF_THE_RUN)
    return gin.query_parameter(f"%{macro}")


def share_out(bindings: Sequence[str], bases: Sequence[str]) -> list[list[str]]:
    """For each gin file those of `bindings` that it takes.

    Raises:
      UserError: no file takes one, or a file that has its macro refuses its value.
    """
    taken: list[list[str]] = [[] for _ in bases]
    for binding in bindings:
        refused: list[UserError] = []
        for base, own in zip(bases, taken, strict=True):
            try:
                gin_config.parse_gin([base], [binding], unneeded=_OF_THE_RUN)
            except UserError as error:
                is_macro = "." not in binding.partition("=")[0]
                if is_macro and not isinstance(error, gin_config.UnknownMacro):
                    raise
                refused.append(error)
            else:
                own.append(binding)
        if len(refused) == len(bases):
            raise refused[0]
    return taken
