"""Reads gin files and `--gin.NAME=VALUE` bindings into gin's configuration.

The conventions are T5X's: `--gin_file` (repeatable, later files win), `--gin.NAME=VALUE` (wins over
every file; what is no value of gin's is text, without quotes), `--gin_search_paths`
(comma-separated).
"""

import argparse
import contextlib
import difflib
import io
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from babeldraw.cli.support import paths
from babeldraw.errors import UserError


class UnknownMacro(UserError):
    """A binding names a macro that no file has."""


def add_arguments(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Adds the three gin arguments to `parser`."""
    parser.add_argument(
        "--gin_file",
        action="append",
        default=[],
        required=required,
        metavar="FILE",
        help="a recipe, as gin/runs/text_to_image.gin; repeat it, later files win",
    )
    # main.py rewrites --gin.NAME=VALUE to this pair: argparse has no options by prefix.
    parser.add_argument(
        "--gin.",
        dest="gin_bindings",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="overrides one setting, as --gin.TRAIN_STEPS=100 or --gin.MODEL_DIR=runs/a",
    )
    parser.add_argument(
        "--gin_search_paths",
        default="",
        metavar="A,B",
        help="further folders to look for gin files in, after the current one",
    )


def parse_gin(
    files: Sequence[str],
    bindings: Sequence[str],
    search_paths: str = "",
    unneeded: Iterable[str] = (),
) -> str:
    """Parses `files`, then `bindings`, into gin's global configuration and locks it.

    Args:
      files: gin files, found by `paths.search_folders`.
      bindings: `NAME=VALUE` texts; NAME is a macro, or `configurable.parameter` of anything that
        the files bind or import.
      search_paths: folders separated by commas.
      unneeded: macros that may stay without a value, such as the directory of a run that will not
        take place.

    Returns:
      The whole configuration as gin text, which reproduces the run when parsed again.

    Raises:
      UserError: a missing file, a syntax error, a name that does not exist, or a value that its
        parameter does not take.
    """
    import gin

    from babeldraw.cli.support.gin_errors import one_sentence
    from babeldraw.cli.support.gin_values import check_values, with_quotes

    folders, found = find_files(files, search_paths)
    gin.clear_config()
    _look_in(folders)

    trees: list[list[Any]] = []
    for path in found:
        with one_sentence(file=str(path)):
            trees.append(list(_with_includes(gin.parse_config_file(str(path)))))

    parsed = [result for tree in trees for result in tree]
    imports = {module.split(".")[-1]: module for result in parsed for module in result.imports}
    known_macros = _macros_defined() | _macros_used()
    for name in known_macros.intersection(unneeded):
        gin.parse_config(f"{name} = ''")
    for binding in map(with_quotes, bindings):
        _check_macro(binding, known_macros)
        with one_sentence(binding=binding):
            gin.parse_config(_with_import(binding, imports))

    located = [[_locate(result.filename, folders) for result in tree] for tree in trees]
    with one_sentence(parsed_files=list(itertools.chain(*located))):
        gin.finalize()  # finds macros without a value
    check_values(bindings, located)
    config_text: str = gin.config_str()
    return config_text


def find_files(files: Sequence[str], search_paths: str) -> tuple[list[Path], list[Path]]:
    """The folders to look in, and where each of `files` is; imports nothing heavy.

    Raises:
      UserError: one is nowhere.
    """
    folders = paths.search_folders(filter(None, search_paths.split(",")))
    return folders, [paths.find_file(name, folders, "gin file") for name in files]


def _look_in(folders: Sequence[Path]) -> None:
    """Makes `include` statements search `folders`, and nothing else."""
    from gin import config

    # "" keeps "./" out of the file names in gin's errors.
    config._LOCATION_PREFIXES[:] = ["" if folder == Path() else str(folder) for folder in folders]
    # gin's own readers look inside Python packages, and fail on a folder that is none.
    config._FILE_READERS[:] = [(_Reader([]), os.path.isfile)]


class _Reader:
    """Opens gin files, of which gin has those open that include the one that it reads."""

    def __init__(self, reading: list[str]) -> None:
        self._reading = reading

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[io.StringIO]:
        """Raises UserError where the file is no text or includes itself."""
        if name in self._reading:
            circle = " includes ".join([*self._reading[self._reading.index(name) :], name])
            raise UserError(f"{circle}: take one of these includes out.")
        try:
            text = Path(name).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{name} is no text in UTF-8: save it as that.") from error
        except OSError as error:
            raise UserError(f"{name} cannot be read ({error.strerror}).") from error
        self._reading.append(name)
        try:
            file = io.StringIO(text)
            file.name = name  # gin names it in its errors
            yield file
        finally:
            self._reading.pop()


def _with_includes(result: Any) -> Iterator[Any]:
    """`result` (gin's record of one parsed file) and those of the files that it includes."""
    yield result
    for included in result.includes:
        yield from _with_includes(included)


def _locate(name: str, folders: Iterable[Path]) -> Path:
    return paths.find_file(name, folders, "gin file")


def _macros_defined() -> set[str]:
    from gin import config

    return {scope for scope, selector in config._CONFIG if selector == "gin.macro"}


def _macros_used() -> set[str]:
    from gin import config

    keys = (reference.config_key for reference in config.iterate_references(config._CONFIG))
    return {scope for scope, selector in keys if selector == "gin.macro"}


def _check_macro(binding: str, known: set[str]) -> None:
    """Refuses a macro that nothing reads: gin would take a misspelt one without a word."""
    name, equals, _ = binding.partition("=")
    if not equals:
        raise UserError(f"--gin.{binding} has no value; write --gin.{binding}=VALUE")
    name = name.strip()
    if re.fullmatch(r"\w+", name) and name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        advice = f"did you mean {close[0]}?" if close else f"they have {', '.join(sorted(known))}"
        raise UnknownMacro(f"--gin.{name}: no gin file defines or uses the macro {name}; {advice}")


def _with_import(binding: str, imports: dict[str, str]) -> str:
    """Puts the import that `binding` needs before it, so that it may name whatever files import.

    Without one gin knows only the configurables that a file has bound or referred to already.
    """
    from gin import config

    selector = binding.partition("=")[0].strip().rpartition(".")[0].rpartition("/")[2]
    module = imports.get(selector.partition(".")[0])
    if not selector or not module or config._REGISTRY.matching_selectors(selector):
        return binding
    package, _, name = module.rpartition(".")
    statement = f"from {package} import {name}" if package else f"import {name}"
    return f"from __gin__ import dynamic_registration\n{statement}\n{binding}"
