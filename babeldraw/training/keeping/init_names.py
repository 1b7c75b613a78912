"""Which parameter of another run each of this run's is: by its name, or by rules.

Names are those of model-info.txt, such as `text_to_image/decoder_norm/scale`, with or without the
network in front. A name in a rule stands for all that is below it.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from babeldraw.errors import UserError

Rules = Sequence[tuple[str, str]]
"""Pairs `(ours, theirs)`; the first that matches counts."""


def networks(names: Iterable[str]) -> str:
    """Of parameters, for a message."""
    return ", ".join(sorted({name.partition("/")[0] for name in names}))


def largest_network(variables: Mapping[str, Any]) -> str:
    """The one with the most numbers, of variables (which have shapes) by name."""
    sizes: Counter[str] = Counter()
    for name, variable in variables.items():
        sizes[name.partition("/")[0]] += math.prod(variable.shape)
    return sizes.most_common(1)[0][0]


def _below(name: str, prefix: str) -> str | None:
    """What follows `prefix` in a name, seen with or without its network; None: another name."""
    prefix = prefix.strip("/").removeprefix("params/")
    for seen in (name, name.partition("/")[2]):
        if f"{seen}/".startswith(f"{prefix}/"):
            return seen.removeprefix(prefix)
    return None


def is_fresh(name: str, fresh: Sequence[str]) -> bool:
    """Whether it was said to start fresh."""
    return any(_below(name, prefix) is not None for prefix in fresh)


def match(
    rules: Rules, fresh: Sequence[str], run: str, ours: set[str], theirs: Mapping[str, Any]
) -> dict[str, str]:
    """Each parameter of ours -> the one of theirs that it is to be, "" where there is none.

    Args:
      rules: for what has other names there.
      fresh: names that have to be ours.
      run: the other run, for messages.

    Raises:
      UserError: a rule or a name matches nothing.
    """
    short = {name.partition("/")[2]: name for name in theirs}
    sources, worked = {}, set()
    for name in ours:
        source = name if name in theirs else ""
        for left, right in rules:
            rest = _below(name, left)
            if rest is not None:
                there = f"{right.strip('/').removeprefix('params/')}{rest}"
                source = there if there in theirs else short.get(there, "")
                if source:
                    worked.add((left, right))
                break
        sources[name] = source
    for left, right in rules:
        if (left, right) not in worked:
            _refuse_rule(left, right, run, ours, theirs)
    for prefix in fresh:
        if all(_below(name, prefix) is None for name in ours):
            raise UserError(
                f"INIT_FRESH has {prefix!r}, and this run has no such parameter: give names such "
                f"as {_example(ours)}."
            )
    return sources


def _refuse_rule(
    left: str, right: str, run: str, ours: Iterable[str], theirs: Iterable[str]
) -> None:
    said = f"The rule ({left!r}, {right!r}) of INIT_RULES matches nothing: "
    if all(_below(name, left) is None for name in ours):
        raise UserError(f"{said}this run has no {left!r}; give names such as {_example(ours)}.")
    if all(_below(name, right) is None for name in theirs):
        raise UserError(f"{said}{run} has no {right!r}; give names such as {_example(theirs)}.")
    raise UserError(
        f"{said}what is below the two has other names, or a rule before it says the same; see "
        f"model-info.txt in {run}."
    )


def _example(names: Iterable[str]) -> str:
    """Two subtrees, as a rule names them."""
    subtrees = sorted({"/".join(name.split("/")[:2]) for name in names})
    return " or ".join(map(repr, subtrees[:2]))
