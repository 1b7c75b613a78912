"""Commands of other programs: shown in full, or run."""

import dataclasses
import re
import shlex
import subprocess
import time
from collections.abc import Sequence

from babeldraw.errors import UserError

WIDTH = 100
_POLL_SECONDS = 30


@dataclasses.dataclass(frozen=True)
class Command:
    """One command line. Nothing of it passes through a shell on this machine.

    Attributes:
      argv: program and arguments.
      stdin: what it reads.
      unless: a command line; where it succeeds this one is not needed.
      when: a command line and words; this one is needed only where that prints one of them.
      until: run again every half minute until it prints this, instead of once.
      never: printed words after which `until` can no longer come.
      may_fail: its failure is not one of the job.
    """

    argv: tuple[str, ...]
    stdin: str = ""
    unless: tuple[str, ...] = ()
    when: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    until: str = ""
    never: tuple[str, ...] = ()
    may_fail: bool = False


def show(command: Command) -> str:
    """As a shell would take it, over several lines where it is long."""
    text = _wrapped(command.argv)
    if command.stdin:
        mark = "END"
        while f"\n{mark}\n" in f"\n{command.stdin}\n":
            mark += "_"
        text += f" <<'{mark}'\n{command.stdin.rstrip()}\n{mark}"
    if command.unless:
        text = f"{_wrapped(command.unless)} >/dev/null 2>&1 ||\n  {text}"
    if command.until:
        text = f"until {text} |\n    grep -qx {command.until}; do sleep {_POLL_SECONDS}; done"
    if command.when:
        argv, words = command.when
        asked = f"{_wrapped(argv)} 2>/dev/null |\n    grep -qxE '{'|'.join(words)}'"
        text = f"if {asked}; then\n  {text}\nfi"
    return f"{text} || true" if command.may_fail else text


def _wrapped(argv: Sequence[str]) -> str:
    words = [_quoted(word) for word in argv]
    line = " ".join(words)
    if len(line) <= WIDTH:
        return line
    lines: list[str] = []
    for word in words:
        if lines and not word.startswith("-") and len(lines[-1]) + len(word) < WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return " \\\n    ".join(lines)


def _quoted(word: str) -> str:
    """As `shlex.quote`, with the quotes of `--flag=value` around the value."""
    match = re.fullmatch(r"(--[\w-]+=)(.*)", word, re.DOTALL)
    return match[1] + shlex.quote(match[2]) if match else shlex.quote(word)


def execute(command: Command) -> int:
    """Runs it on this terminal and returns its exit code; 0 where it was not needed.

    Raises:
      UserError: there is no such program.
    """
    try:
        if command.unless:
            quiet = subprocess.run(
                command.unless, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
            )
            if quiet.returncode == 0:
                return 0
        if command.when:
            argv, words = command.when
            asked = subprocess.run(argv, capture_output=True, text=True, check=False)
            if asked.stdout.strip() not in words:
                return 0
        if command.until:
            return _wait(command)
        code = subprocess.run(
            command.argv, input=command.stdin or None, text=True, check=False
        ).returncode
    except FileNotFoundError as error:
        raise UserError(
            f"{command.argv[0]} is not installed here; install it, or see the commands with "
            "--dry-run and run them where it is"
        ) from error
    return 0 if command.may_fail else code


def _wait(command: Command) -> int:
    seen = ""
    while True:
        answer = subprocess.run(command.argv, stdout=subprocess.PIPE, text=True, check=False)
        state = answer.stdout.strip()
        if answer.returncode != 0 or state == command.until:
            return answer.returncode
        if state in command.never:
            print(f"waited for {command.until}, which cannot come: now {state}", flush=True)
            return 1
        if state != seen:
            print(f"waiting for {command.until}: now {state}", flush=True)
            seen = state
        time.sleep(_POLL_SECONDS)


def execute_all(commands: Sequence[Command]) -> int:
    """Runs them in order and stops at the first that fails; returns its exit code, or 0."""
    for command in commands:
        print(f"+ {show(command).splitlines()[0]}", flush=True)
        code = execute(command)
        if code != 0:
            return code
    return 0
