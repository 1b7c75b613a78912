"""Turns gin's exceptions, which run over many lines, into one sentence with the closest real name.

The messages are those of gin-config 0.5.0; tests/cli/support/test_gin_config.py provokes every one.
"""

import contextlib
import difflib
import importlib.util  # noqa: F401 - gin needs it to report a missing include, and forgets it
import inspect
import pkgutil
import re
import sys
import tokenize
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from gin import config

from babeldraw.errors import UserError

_LOCATION = re.compile(r'\n  In (?:file "(?P<file>.+)",|bindings string) line (?P<line>\d+)')
_IMPORTED_NAME = re.compile(r"^(?:from\s+\S+\s+)?import\s+(?:.*\s)?(\S+)\s*$", re.MULTILINE)


@contextlib.contextmanager
def one_sentence(
    *, file: str = "", binding: str = "", parsed_files: Sequence[Path] = ()
) -> Iterator[None]:
    """Raises gin's errors as `UserError("<place>: <cause>; <closest real name>")`.

    Args:
      file: the gin file being parsed, for errors of which gin gives no place.
      binding: the `NAME=VALUE` being parsed, when it came from the command line.
      parsed_files: where to look for an undefined macro, of which gin does not give the place.

    An exception that is not gin's own, such as a bug in an imported module, passes unchanged.
    """
    try:
        yield
    except UserError as error:  # with gin's tail: where it stood in which file
        raise UserError(_LOCATION.split(str(error))[0]) from error
    except SyntaxError as error:
        if (error.filename or "").endswith(".py"):
            raise
        raise UserError(_syntax_sentence(error, file, binding)) from error
    except tokenize.TokenError as error:
        place = f"--gin.{binding}" if binding else file
        raise UserError(f"{place}: a bracket or a quote is never closed") from error
    except Exception as error:
        place = f"--gin.{binding}" if binding else _place(str(error))
        cause = _cause(str(error), parsed_files)
        if cause is None:
            raise
        raise UserError(f"{place}: {cause}" if place else cause) from error


def _syntax_sentence(error: SyntaxError, file: str, binding: str) -> str:
    # Values that Python's own parser refuses give its words, which say nothing to a user of gin.
    problem = str(error.msg).partition("\n")[0].rstrip(".")
    if problem.startswith("malformed node"):
        problem = "Unable to parse value"
    if binding:
        name, _, value = binding.partition("=")
        return f"--gin.{binding}: {problem}; text needs quotes, as --gin.{name}='\"{value}\"'"
    if error.filename and error.filename != "<tokenize>":
        file = error.filename
    return f"{file}:{error.lineno}: {problem} in `{(error.text or '').strip()}`"


def _place(message: str) -> str:
    found = _LOCATION.search(message)
    return f"{found['file']}:{found['line']}" if found and found["file"] else ""


def _cause(message: str, parsed_files: Sequence[Path]) -> str | None:
    """The first sentence of gin's `message` in words of the user's, or None if not gin's."""
    for pattern, describe in _CAUSES:
        found = re.match(pattern, message)
        if found:
            if describe is _undefined_macro:
                return _where_used(found[1], parsed_files) + describe(found, message)
            return describe(found, message)
    return None


def _closest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(set(known)), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _unknown_attribute(found: re.Match[str], message: str) -> str:
    selector, module, attribute = found.groups()
    known = [name for name in dir(sys.modules.get(module)) if not name.startswith("_")]
    return f"there is no {selector}: {module} has no {attribute}" + _closest(attribute, known)


def _not_imported(found: re.Match[str], message: str) -> str:
    place = _LOCATION.search(message)
    text = Path(place["file"]).read_text() if place and place["file"] else ""
    return f"{found[1]} is not imported" + _closest(found[1], _IMPORTED_NAME.findall(text))


def _unknown_parameter(found: re.Match[str], message: str) -> str:
    selector, parameter = found.groups()
    matches = config._REGISTRY.matching_selectors(selector)
    known = inspect.signature(config._REGISTRY[matches[0]].wrapped).parameters if matches else ()
    return f"{selector} has no parameter {parameter}" + _closest(parameter, known)


def _unknown_configurable(found: re.Match[str], message: str) -> str:
    selector = found[1]
    length = selector.count(".") + 1
    known = [".".join(full.split(".")[-length:]) for full, _ in config._REGISTRY.items()]
    return f"the gin files have no {selector}" + _closest(selector, known)


def _missing_module(found: re.Match[str], message: str) -> str:
    missing = found[1]
    package, _, name = missing.rpartition(".")
    parent = sys.modules.get(package)
    siblings = [m.name for m in pkgutil.iter_modules(getattr(parent, "__path__", []))]
    return f"there is no module {missing}" + _closest(name, siblings)


def _undefined_macro(found: re.Match[str], message: str) -> str:
    known = [scope for scope, selector in config._CONFIG if selector == "gin.macro"]
    return f"the macro {found[1]} has no value; set --gin.{found[1]}=VALUE" + _closest(
        found[1], known
    )


def _where_used(macro: str, files: Sequence[Path]) -> str:
    for file in files:
        for number, line in enumerate(file.read_text().splitlines(), start=1):
            if re.search(rf"%{re.escape(macro)}\b", line.partition("#")[0]):
                return f"{file}:{number}: "
    return ""


_CAUSES: list[tuple[str, Callable[[re.Match[str], str], str]]] = [
    (
        r"Couldn't resolve selector (\S+); <\w+ '(\S+)'.*> has no attribute (\w+)",
        _unknown_attribute,
    ),
    (r"'(\w+)' was not provided by an import statement", _not_imported),
    (r"Configurable '(\S+)' doesn't have a parameter named '(\S+)'", _unknown_parameter),
    (r"No configurable matching (?:reference )?'@?(.+?)(?:\(\))?'", _unknown_configurable),
    (r"No module named '(\S+)'", _missing_module),
    (r"No bindings specified for '(\S+)/(?:gin\.)?macro'", _undefined_macro),
    (
        r"(\S+?)(?:/macro\.value)? set to `%gin\.REQUIRED`",
        lambda found, _: f"{found[1]} must be given: add --gin.{found[1]}=VALUE",
    ),
    (r"Unable to open file: (.+?)\. Searched", lambda found, _: f"there is no file {found[1]}"),
]
