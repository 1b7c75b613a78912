"""The values of gin files and `--gin.NAME=VALUE`: text without quotes, and what each has to be.

What a parameter takes is its annotation, see `babeldraw.ranges`.
"""

import ast
import collections.abc
import inspect
import re
import typing
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from babeldraw.errors import UserError
from babeldraw.ranges import Kind, Unfit, arms, fit, words


def with_quotes(binding: str) -> str:
    """`NAME=VALUE`, with quotes about VALUE where it is no value of gin's: it is text then.

    What begins as a reference, a list, a mapping or a quoted text and is none stays, for gin to
    say what is wrong.
    """
    name, equals, value = binding.partition("=")
    text = value.strip()
    if not text or text[0] in "@%[({'\"" or _is_literal(text):
        return binding
    return f"{name}{equals}{text!r}"


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return False
    return True


def check_values(bindings: Sequence[str], file_trees: Iterable[Sequence[Path]]) -> None:
    """Holds every value that gin has parsed against what its parameter takes.

    A whole number that was written as 1e3 becomes one.

    Args:
      bindings: those of the command line.
      file_trees: each gin file followed by what it includes, to say where a value stands.

    Raises:
      UserError: a value is of another type or out of range.
    """
    from gin import config

    for (_, selector), parameters in config._CONFIG.items():
        if selector == "gin.macro":
            continue
        signature = inspect.signature(config._REGISTRY[selector].wrapped).parameters
        for name, value in parameters.items():
            kind = signature[name].annotation if name in signature else inspect.Parameter.empty
            if kind is inspect.Parameter.empty:
                continue
            macro, holder, key = None, parameters, name
            while _is_macro(value):
                macro = value.config_key[0]
                holder, key = config._CONFIG[value.config_key], "value"
                value = holder[key]
            try:
                fitted = _fit(value, kind)
            except Unfit as unfit:
                parameter = f"{'.'.join(selector.split('.')[-2:])}.{name}"
                place = _place(macro or parameter, bindings, file_trees)
                of = f"{parameter} takes" if macro else "it takes"
                raise UserError(f"{place} is {value!r}: {of} {unfit}.") from unfit
            if fitted is not value:
                holder[key] = fitted


def _is_macro(value: Any) -> bool:
    from gin import config

    reference = isinstance(value, config.ConfigurableReference)
    return reference and value.config_key[1] == "gin.macro"


def _fit(value: Any, kind: Kind) -> Any:
    """As `ranges.fit`, of what gin has in place of values, too."""
    from gin import config

    if not isinstance(value, config.ConfigurableReference):
        if any(True for _ in config.iterate_references({"": value})):
            return value  # known when it is used
        return fit(value, kind)
    if any(_may_be(value, arm) for arm in arms(kind)):
        return value
    raise Unfit(words(kind))


def _may_be(reference: Any, kind: Kind) -> bool:
    """Whether `@made` or, where it is evaluated, `@made()` may be a `kind`."""
    made, evaluated = reference.configurable.wrapped, reference.evaluate
    origin: Any = typing.get_origin(kind)
    if origin is collections.abc.Callable or not isinstance(kind, type):
        return True
    if getattr(kind, "_is_protocol", False):
        return bool(evaluated)
    if not evaluated:
        return isinstance(made, kind)
    return not isinstance(made, type) or issubclass(made, kind)


def _place(name: str, bindings: Sequence[str], file_trees: Iterable[Sequence[Path]]) -> str:
    """Where `name` (of a macro, or `module.configurable.parameter`) was set last."""
    for binding in reversed(bindings):
        given = binding.partition("=")[0].strip()
        if given == name or given.rpartition("/")[2].endswith(name.partition(".")[2] or name):
            return f"--gin.{given}"
    line = re.compile(rf"\s*(\w+/)*{re.escape(name)}\s*=")
    for tree in reversed(list(file_trees)):
        for file in tree:
            for number, text in enumerate(file.read_text().splitlines(), start=1):
                if line.match(text):
                    return f"{file}:{number}: {name}"
    return name
