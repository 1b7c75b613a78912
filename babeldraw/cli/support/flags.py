"""The parser of every subcommand: what is wrong is one sentence, and numbers have ranges."""

import argparse
import dataclasses
import difflib
import re
import typing
from typing import Any, NoReturn

from babeldraw.errors import UserError
from babeldraw.ranges import Kind, Unfit, fit


class Help(argparse.HelpFormatter):
    """Says of each option what it is by default, or that it is required."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        if not action.option_strings or "default" in text or action.dest in ("help", "version"):
            return text
        if action.required:
            return f"{text} (required)"
        if action.nargs == 0:
            return f"{text} (off by default)"
        none = action.default in (None, "", [])
        return f"{text} (default: {'none' if none else '%(default)s'})"


class Parser(argparse.ArgumentParser):
    """Raises `UserError` where argparse prints its usage and ends the process."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **{"formatter_class": Help, **settings})

    def error(self, message: str) -> NoReturn:
        def name(found: re.Match[str]) -> str:
            return f"{found[1]} is " if found[2] else f"{found[1]}: "

        text = re.sub(r"^argument (\S+): (is )?", name, message)
        unknown = re.match(r"unrecognized arguments: (--[^\s=]+)", message)
        if unknown:
            known = [name for name in self._option_string_actions if name.startswith("--")]
            close = difflib.get_close_matches(unknown[1], known, n=1)
            text = f"there is no {unknown[1]}" + (f"; did you mean {close[0]}?" if close else "")
        raise UserError(f"{text.rstrip('.')} (see {self.prog} --help)")


@dataclasses.dataclass(frozen=True)
class Numeric:
    """For `add_argument(type=Numeric(Count))`: the number that a flag's text says.

    Attributes:
      kind: see `babeldraw.ranges`.
    """

    kind: Kind

    def __call__(self, text: str) -> Any:
        try:
            number = fit(_number(text), self.kind)
        except Unfit as unfit:
            raise argparse.ArgumentTypeError(f"is {text or repr(text)}; give {unfit}") from unfit
        # `fit` leaves a whole number as it is where any is wanted; libraries ask for a float.
        return float(number) if float in (self.kind, *typing.get_args(self.kind)) else number


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
