"""The `babeldraw` command: finds the subcommand, runs it, and turns errors into exit codes."""

import argparse
import difflib
import glob
import importlib
import os
import select
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn, TextIO

import babeldraw
from babeldraw.cli.support import compiled
from babeldraw.cli.support.flags import Parser
from babeldraw.errors import Stopped, UserError
from babeldraw.parallel import failing, processes

# Each is a module babeldraw.cli.NAME, with _ for -, that has SUMMARY, add_arguments(parser) and
# run(args) -> int.
SUBCOMMANDS = (
    *("quickstart", "finetune", "train"),
    *("sample", "serve", "caption", "tokenize", "tokenize-dataset", "export", "convert", "t5x"),
    *("evaluate", "rate", "probe", "report", "plan", "data", "vocab", "doctor"),
)

# What JAX compiles for a TPU that is not here it cannot load again: no plan.
_COMPILING = frozenset(SUBCOMMANDS) - {"plan", "rate", "report", "data", "vocab", "doctor"}

EXIT_USER_ERROR = failing.EXIT_USER_ERROR
EXIT_STOPPED = failing.EXIT_STOPPED
EXIT_INTERRUPTED = failing.EXIT_INTERRUPTED
EXIT_UNREAD = 141  # 128 + SIGPIPE, as shells have it

# What gin appends to the message of every exception that passes through a configurable.
_GIN_TAIL = "\n  In call to configurable"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line `argv` (default: the process's own) and returns its exit code."""
    code, _ = _run_and_tell(list(sys.argv[1:] if argv is None else argv))
    return code


def run_process() -> NoReturn:
    """What the process `babeldraw` is: `main`, and an end, whatever has happened before it."""
    try:
        # The error is kept: freeing what its frames hold may take for ever.
        code, error = _run_and_tell(sys.argv[1:])
    except Exception:
        traceback.print_exc()
        failing.leave(failing.EXIT_CRASHED)
    if error is None or (isinstance(error, Stopped) and processes.is_joined()):
        failing.end(code)
    failing.leave(code)


def _run_and_tell(arguments: list[str]) -> tuple[int, BaseException | None]:
    """The exit code, and what ended the run where something did, which is told on stderr."""
    try:
        return _run(arguments), None
    except BrokenPipeError as error:
        if not _nobody_reads(sys.stdout):
            raise
        return EXIT_UNREAD, error
    except UserError as error:
        sentence = " ".join(str(error).split(_GIN_TAIL)[0].split())
        print(f"babeldraw: error: {sentence}", file=sys.stderr)
        return EXIT_USER_ERROR, error
    except Stopped as stopped:
        print(f"babeldraw: {stopped}", file=sys.stderr)
        return EXIT_INTERRUPTED if stopped.by_keyboard else EXIT_STOPPED, stopped
    except KeyboardInterrupt as interrupt:
        print("babeldraw: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED, interrupt
    except Exception as error:
        from babeldraw import files

        reason = files.unanswered(error)
        if reason is None:
            raise
        print(
            f"babeldraw: error: the object store does not answer ({reason}): check the name, the "
            "network and your login (gcloud auth application-default login), and run again.",
            file=sys.stderr,
        )
        return failing.EXIT_CRASHED, error  # A launcher tries again.


def _nobody_reads(stream: TextIO) -> bool:
    """Whether it is a pipe to a program that has seen enough, such as `head`."""
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0].startswith("-"):
        _top_level_parser().parse_args(arguments)  # --help and --version end here
        raise UserError(f"no subcommand given; choose one of {', '.join(SUBCOMMANDS)}")
    module, args = parse(arguments)
    _quiet_third_parties()
    if arguments[0] in _COMPILING:
        compiled.keep_programs()
    exit_code: int = module.run(args)
    return exit_code


def parse(arguments: Sequence[str]) -> tuple[ModuleType, argparse.Namespace]:
    """The subcommand that `arguments` begin with, and what its flags say.

    Raises:
      UserError: there is no such subcommand, or it does not take them.
    """
    name, *rest = arguments
    module = _subcommand(name)
    parser = Parser(prog=f"babeldraw {name}", description=module.SUMMARY)
    module.add_arguments(parser)
    return module, parser.parse_args(split_gin_bindings(rest))


def _quiet_third_parties() -> None:
    """Leaves the errors of TFDS and Orbax on the terminal and hides their warnings, not ours."""
    import logging

    from absl import logging as absl_logging

    from babeldraw.planning import environment

    absl_logging.set_verbosity(absl_logging.ERROR)  # The level of all loggers without their own.
    logging.getLogger("babeldraw").setLevel(logging.WARNING)
    if not any(glob.glob(pattern) for pattern in ("/dev/accel*", "/dev/vfio/[0-9]*")):
        # libtpu, installed for `babeldraw plan`, would look for the TPU that is not here.
        for name, value in environment.QUIET_LIBTPU.items():
            os.environ.setdefault(name, value)


def _subcommand(name: str) -> ModuleType:
    if name not in SUBCOMMANDS:
        close = difflib.get_close_matches(name, SUBCOMMANDS, n=1)
        advice = f"did you mean {close[0]!r}?" if close else f"choose {', '.join(SUBCOMMANDS)}"
        raise UserError(f"there is no subcommand {name!r}; {advice}")
    return importlib.import_module(f"babeldraw.cli.{name.replace('-', '_')}")


def _top_level_parser() -> argparse.ArgumentParser:
    width = max(map(len, SUBCOMMANDS))
    summaries = [f"  {name:{width}}  {_subcommand(name).SUMMARY}" for name in SUBCOMMANDS]
    parser = Parser(
        prog="babeldraw",
        usage="babeldraw SUBCOMMAND ...",
        description="Text to images in two learned stages.",
        epilog="\n".join(["subcommands (each has its own --help):", *summaries]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"babeldraw {babeldraw.__version__}")
    return parser


def split_gin_bindings(arguments: list[str]) -> list[str]:
    """Rewrites `--gin.NAME=VALUE` as `--gin. NAME=VALUE`: argparse knows no option by prefix."""
    split: list[str] = []
    for argument in arguments:
        if argument.startswith("--gin.") and len(argument) > len("--gin."):
            split += ["--gin.", argument.removeprefix("--gin.")]
        else:
            split.append(argument)
    return split


if __name__ == "__main__":
    run_process()
