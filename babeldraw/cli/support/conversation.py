"""`babeldraw sample --interactive`: prompts or classes from the terminal, and settings between."""

import argparse
import difflib
import secrets
from typing import TYPE_CHECKING, NamedTuple

from babeldraw.cli.support.flags import Numeric
from babeldraw.errors import UserError
from babeldraw.ranges import Count, Kind, Seed, ShareAboveZero, ShareBelowOne, Weight

if TYPE_CHECKING:
    from babeldraw.cli.support.drawing import Drawing

SEEDS = 2**31


class Setting(NamedTuple):
    """What a line such as `:guidance 3` sets.

    Attributes:
      field: of the command's arguments.
      kind: see `babeldraw.ranges`.
      may_be_off: whether `off` stands for none.
    """

    field: str
    kind: Kind
    text: str
    may_be_off: bool = False


SETTINGS = {
    "n": Setting("num_samples", Count, "pictures of each prompt"),
    "guidance": Setting("guidance_weight", float, "above 1 follows the prompt more"),
    "seed": Setting("seed", Seed, "of the next picture; those after it count on from there"),
    "temperature": Setting("temperature", Weight, "1 as trained, lower is safer"),
    "cutoff": Setting("cutoff", ShareBelowOne, "no tokens below this share of the best one"),
    "top_k": Setting("top_k", Count, "only the so many most probable tokens, or off", True),
    "top_p": Setting("top_p", ShareAboveZero, "only the fewest of this probability, or off", True),
}


class Conversation:
    """Reads lines until an empty one: prompts (or classes) to draw, and settings."""

    def __init__(self, args: argparse.Namespace, drawing: "Drawing") -> None:
        """`args` are those that `drawing` reads, and are set between its drawings."""
        self._args, self._drawing = args, drawing
        if not args.seed_given:
            args.seed = secrets.randbelow(SEEDS)

    def hold(self) -> None:
        """Returns when the line is empty or there are no more."""
        kind = self._drawing.kind
        print(f"A {kind} a line, an empty line ends; :help lists settings, such as :guidance 3.")
        while True:
            try:
                line = input(f"{kind}> ").strip()
            except EOFError:
                return
            if not line:
                return
            try:
                self._answer(line)
            except UserError as error:  # Of this line; the next one may be better.
                print(error)

    def _answer(self, line: str) -> None:
        if line.startswith(":"):
            name, _, value = line[1:].strip().partition(" ")
            self._set(name, value.strip())
            return
        args = self._args
        print(f"seed {args.seed}, guidance {args.guidance_weight:g}", flush=True)
        self._drawing.draw([line], keep=True)
        args.seed = (args.seed + 1) % SEEDS

    def _set(self, name: str, value: str) -> None:
        if name == "help":
            print(self._help())
            return
        setting = SETTINGS.get(name)
        if setting is None:
            close = difflib.get_close_matches(name, SETTINGS, n=1)
            advice = f"did you mean :{close[0]}?" if close else ":help lists those that there are."
            raise UserError(f"there is no setting :{name}; {advice}")
        if value:
            number = None if setting.may_be_off and value == "off" else _read(name, value, setting)
            setattr(self._args, setting.field, number)
        print(f"{name} {self._shown(setting)}")

    def _help(self) -> str:
        lines = ["what is set, and what it does:"]
        for name, setting in SETTINGS.items():
            lines.append(f"  {f':{name} {self._shown(setting)}':20} {setting.text}")
        return "\n".join(lines)

    def _shown(self, setting: Setting) -> str:
        value = getattr(self._args, setting.field)
        return "off" if value is None else format(value, "g" if isinstance(value, float) else "d")


def _read(name: str, value: str, setting: Setting) -> float:
    try:
        number: float = Numeric(setting.kind)(value)
    except argparse.ArgumentTypeError as error:
        raise UserError(f":{name} {error}.") from error
    return number
