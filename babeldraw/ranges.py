"""What a setting may be: types with ranges, and the one check of a value against them.

A field, a parameter or a flag says `Count` or `Share | None` where it stands; values of gin files,
machine files and the command line are held against that before anything is built. pydantic would
take '8' and True for numbers, msgspec refuses classes that are not its own, beartype looks at one
item of a container: none of them says what would do in the words of this program.
"""

import collections.abc
import math
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, Union

Kind = Any
"""An annotation, such as `int`, `Share | None` or `Mapping[str, Count]`."""


class Range(NamedTuple):
    """Of a number: what it is at least and at most, or above and below (then without the end)."""

    at_least: float = -math.inf
    at_most: float = math.inf
    above: float = -math.inf
    below: float = math.inf

    def holds(self, value: float) -> bool:
        return self.at_least <= value <= self.at_most and self.above < value < self.below

    def words(self) -> str:
        """Such as "1 or more" or "from 0 to below 1"."""
        low = f"above {self.above}" if self.above > -math.inf else f"from {self.at_least}"
        if max(self.at_least, self.above) == -math.inf:
            low = ""
        if min(self.at_most, self.below) == math.inf:
            return low if low.startswith("above") else f"{self.at_least} or more"
        return f"{low} to {f'below {self.below}' if self.below < math.inf else self.at_most}"


class OneOf(NamedTuple):
    """Names that stand for objects, which are taken as well."""

    names: tuple[str, ...]

    def holds(self, value: Any) -> bool:
        return value in self.names if _is_plain(value) else True

    def words(self) -> str:
        return _one_of(self.names)


class InWords(NamedTuple):
    """Says for a person what the type before it is; limits nothing."""

    text: str

    def holds(self, value: Any) -> bool:
        return True

    def words(self) -> str:
        return self.text


Limit = Range | OneOf | InWords

Whole = Annotated[int, Range(at_least=0)]
"""0 often stands for none."""
Count = Annotated[int, Range(at_least=1)]
Seed = Annotated[int, Range(0, 2**31 - 1)]
Weight = Annotated[float, Range(at_least=0)]
Positive = Annotated[float, Range(above=0)]
Zoom = Annotated[float, Range(at_least=1)]
Share = Annotated[float, Range(0, 1)]
ShareBelowOne = Annotated[float, Range(at_least=0, below=1)]
ShareAboveZero = Annotated[float, Range(above=0, at_most=1)]
AboveZeroBelowOne = Annotated[float, Range(above=0, below=1)]
FloatType = Annotated[Any, OneOf(("float32", "bfloat16", "float16"))]
"""What a network computes in; jnp.float32 and the like are taken, too."""


class Unfit(ValueError):
    """The message says what would fit, such as "a whole number, 1 or more"."""


def fit(value: Any, kind: Kind) -> Any:
    """`value` as `kind` has it: 1e3 is the whole number 1000 where one is wanted.

    NaN and infinity are no numbers here, True and False no whole ones, and text never a number.
    What `kind` says nothing of that can be checked (protocols, type variables) fits.

    Raises:
      Unfit: it does not fit.
    """
    fitted = _fit(value, kind)
    if fitted is _UNFIT:
        raise Unfit(words(kind))
    return fitted


_UNFIT = object()


def _fit(value: Any, kind: Kind) -> Any:
    origin: Any = typing.get_origin(kind)
    arguments = typing.get_args(kind)
    if origin is Annotated:
        fitted = _fit(value, arguments[0])
        limits = [limit for limit in arguments[1:] if isinstance(limit, Limit)]
        held = fitted is not _UNFIT and all(limit.holds(fitted) for limit in limits)
        return fitted if held else _UNFIT
    if len(arms(kind)) > 1:
        fits = (fitted for arm in arguments if (fitted := _fit(value, arm)) is not _UNFIT)
        return next(fits, _UNFIT)
    if origin is Literal:
        return value if any(value == known for known in arguments) else _UNFIT
    if origin is collections.abc.Mapping:
        return _fit_items(value, *arguments)
    if origin is tuple:
        return _fit_places(value, arguments)
    if origin is collections.abc.Callable:
        return value if callable(value) else _UNFIT
    if kind in (int, float):
        return _fit_number(value, kind)
    if kind is None or kind is type(None):
        return value if value is None else _UNFIT
    if getattr(kind, "_is_protocol", False):
        return _UNFIT if _is_plain(value) else value
    if kind is not Any and isinstance(kind, type):
        return value if isinstance(value, kind) else _UNFIT
    return value


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | list | tuple | Mapping)


def _fit_number(value: Any, kind: type) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or (kind is int and value != int(value)):
        return _UNFIT
    return int(value) if kind is int else value


def _fit_items(value: Any, key_kind: Kind, item_kind: Kind) -> Any:
    if not isinstance(value, Mapping):
        return _UNFIT
    fitted = {_fit(key, key_kind): _fit(item, item_kind) for key, item in value.items()}
    return _UNFIT if _UNFIT in (*fitted, *fitted.values()) else fitted


def _fit_places(value: Any, kinds: tuple[Kind, ...]) -> Any:
    """A list will do for a tuple. Of one of any length nothing is checked."""
    if Ellipsis in kinds:
        return value
    if not isinstance(value, list | tuple) or len(value) != len(kinds):
        return _UNFIT
    fitted = tuple(_fit(item, kind) for item, kind in zip(value, kinds, strict=True))
    return _UNFIT if _UNFIT in fitted else fitted


def arms(kind: Kind) -> tuple[Kind, ...]:
    """The kinds of which `kind` is any one: int and None of `int | None`."""
    origin: Any = typing.get_origin(kind)
    return typing.get_args(kind) if origin in (Union, types.UnionType) else (kind,)


def words(kind: Kind) -> str:
    """What `kind` takes, for a person: "a whole number, 1 or more"."""
    origin: Any = typing.get_origin(kind)
    arguments = typing.get_args(kind)
    if origin is Annotated:
        limits = [limit for limit in arguments[1:] if isinstance(limit, Limit)]
        if any(isinstance(limit, OneOf | InWords) for limit in limits):
            return limits[0].words()
        return ", ".join([words(arguments[0]), *(limit.words() for limit in limits)])
    if len(arms(kind)) > 1:
        return " or ".join(words(arm) for arm in arguments)
    if origin is Literal:
        return _one_of(arguments)
    if origin is collections.abc.Mapping:
        return f"a mapping {{NAME: VALUE}}, each value {words(arguments[1])}"
    if origin is collections.abc.Callable:
        return "a function, as @NAME"
    if origin is tuple:
        return f"({', '.join(map(words, arguments))})"
    known = {int: "a whole number", float: "a number", bool: "True or False", str: "text"}
    if kind is None or kind is type(None):
        return "None"
    return known.get(kind) or f"{getattr(kind, '__name__', kind)}, as @NAME()"


def _one_of(names: collections.abc.Iterable[Any]) -> str:
    return f"one of {', '.join(map(repr, names))}"
