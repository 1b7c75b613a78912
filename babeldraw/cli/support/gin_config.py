"""Reads gin files and `--gin.NAME=VALUE` bindings into gin's configuration.

The conventions are T5X's: `--gin_file` (repeatable, later files win), `--gin.NAME=VALUE` (wins over
every file; strings need their quotes), `--gin_search_paths` (comma-separated).
"""

import argparse
import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from babeldraw.cli.support import paths
from babeldraw.errors import UserError


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
        help="overrides one setting, as --gin.TRAIN_STEPS=100 or --gin.MODEL_DIR='\"runs/a\"'",
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
      UserError: a missing file, a syntax error, or a name that does not exist.
    """
    import gin

    from babeldraw.cli.support.gin_errors import one_sentence

    folders = paths.search_folders(filter(None, search_paths.split(",")))
    gin.clear_config()
    _look_in(folders)

    parsed: list[Any] = []
    for name in files:
        path = paths.find_file(name, folders, "gin file")
        with one_sentence(file=str(path)):
            parsed += _with_includes(gin.parse_config_file(str(path)))

    imports = {module.split(".")[-1]: module for result in parsed for module in result.imports}
    known_macros = _macros_defined() | _macros_used()
    for name in known_macros.intersection(unneeded):
        gin.parse_config(f"{name} = ''")
    for binding in bindings:
        _check_macro(binding, known_macros)
        with one_sentence(binding=binding):
            gin.parse_config(_with_import(binding, imports))

    with one_sentence(parsed_files=[_locate(result.filename, folders) for result in parsed]):
        gin.finalize()  # finds macros without a value
    config_text: str = gin.config_str()
    return config_text


def _look_in(folders: Sequence[Path]) -> None:
    """Makes `include` statements search `folders`, and nothing else."""
    from gin import config

    # "" keeps "./" out of the file names in gin's errors.
    config._LOCATION_PREFIXES[:] = ["" if folder == Path() else str(folder) for folder in folders]
    # The readers after the first look inside Python packages, and fail on a folder that is none.
    del config._FILE_READERS[1:]


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
        raise UserError(f"--gin.{name}: no gin file defines or uses the macro {name}; {advice}")


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
