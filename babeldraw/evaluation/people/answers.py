"""What raters' files say: win rates with intervals, and how far raters agree."""

import dataclasses
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from babeldraw import files
from babeldraw.errors import UserError
from babeldraw.evaluation.people.page import QUESTIONS
from babeldraw.evaluation.people.pairs import KIND
from babeldraw.evaluation.shares import wilson

SIDES = ("left", "right", "tie")
OUTCOMES = ("first", "second", "tie")


@dataclasses.dataclass(frozen=True)
class Key:
    """What `pairs.write_key` has written.

    Attributes:
      first_is_right: of each pair.
    """

    pairing: str
    names: tuple[str, str]
    prompts: Sequence[str]
    first_is_right: Sequence[bool]


@dataclasses.dataclass(frozen=True)
class Answers:
    """One rater's: of each question, the side of each pair that has an answer."""

    rater: str
    sides: Mapping[str, Mapping[int, str]]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What all raters say to one question.

    Attributes:
      shares: of `OUTCOMES` among all answers.
      wins: the first folder's rate; no difference counts as half a win of each.
      interval: of 95% by Wilson, of as many draws as there are pairs with an answer: raters of one
        pair are no independent ones.
      answers, pairs: how many there are, and of how many pairs.
      left: share of "left" among answers that choose a side; near 1/2 where sides do not matter.
      agreement: share of equal answers among all two raters of a pair; None with one rater a pair.
      kappa: the same with agreement by chance taken off (Fleiss 1971): 1 is full agreement, 0 none.
    """

    shares: Mapping[str, float]
    wins: float
    interval: tuple[float, float]
    answers: int
    pairs: int
    left: float | None
    agreement: float | None
    kappa: float | None


def read_key(name: str) -> Key:
    """The key of a page.

    Raises:
      UserError: it cannot be read, or is none.
    """
    found = _read(name, "the key.json that stands beside the page")
    right, prompts = found.get("first_is_right"), found.get("prompts")
    named = [found.get("first"), found.get("second"), found.get("pairing")]
    if (
        not isinstance(right, list)
        or not isinstance(prompts, list)
        or len(right) != len(prompts)
        or not all(isinstance(each, bool) for each in right)
        or not all(isinstance(each, str) for each in (*prompts, *named))
    ):
        raise UserError(f"{name} is no key of a page; give the key.json that stands beside it.")
    return Key(str(named[2]), (str(named[0]), str(named[1])), prompts, right)


def read_answers(names: Iterable[str], key: Key) -> list[Answers]:
    """All raters' answers to the page of a key.

    Raises:
      UserError: a file cannot be read, is of another page, has no answer or an unknown one, or two
        are of one rater.
    """
    found: dict[str, tuple[str, Answers]] = {}
    for name in names:
        answers = _answers_of(name, key)
        if answers.rater in found:
            raise UserError(
                f"{found[answers.rater][0]} and {name} are both of the rater {answers.rater!r}; "
                "give one of them, or each rater a name."
            )
        found[answers.rater] = (name, answers)
    return [answers for _, answers in found.values()]


def outcome(question: str, raters: Sequence[Answers], key: Key) -> Outcome | None:
    """What they say to one of `QUESTIONS`; None where nobody has answered it."""
    by_pair: dict[int, list[str]] = {}
    sides: Counter[str] = Counter()
    for rater in raters:
        for pair, side in rater.sides[question].items():
            sides[side] += 1
            by_pair.setdefault(pair, []).append(_chosen(side, key.first_is_right[pair]))
    chosen = Counter(itertools.chain.from_iterable(by_pair.values()))
    count = chosen.total()
    if not count:
        return None
    shares = {name: chosen[name] / count for name in OUTCOMES}
    wins = shares["first"] + shares["tie"] / 2
    chose_a_side = sides["left"] + sides["right"]
    agreement, kappa = _agreement(by_pair.values())
    return Outcome(
        shares,
        wins,
        wilson(wins, len(by_pair)),
        count,
        len(by_pair),
        sides["left"] / chose_a_side if chose_a_side else None,
        agreement,
        kappa,
    )


def _chosen(side: str, first_is_right: bool) -> str:
    if side == "tie":
        return side
    return "first" if (side == "right") == first_is_right else "second"


def _agreement(pairs: Iterable[Sequence[str]]) -> tuple[float | None, float | None]:
    """Of pairs that several have answered; pairs count alike, whoever has answered them."""
    several = [each for each in pairs if len(each) > 1]
    if not several:
        return None, None
    equal = [np.mean([a == b for a, b in itertools.combinations(each, 2)]) for each in several]
    agreement = float(np.mean(equal))
    counts = Counter(itertools.chain.from_iterable(several))
    chance = sum((count / counts.total()) ** 2 for count in counts.values())
    return agreement, (agreement - chance) / (1 - chance) if chance < 1 else None


def _answers_of(name: str, key: Key) -> Answers:
    found = _read(name, "the file that the page has downloaded")
    if found.get("pairing") != key.pairing:
        raise UserError(
            f"{name} answers another page than that of the key ({str(found.get('pairing'))[:8]}, "
            f"not {key.pairing[:8]}); give the key of its own page."
        )
    rater, answers = found.get("rater"), found.get("answers")
    if not isinstance(rater, str) or not isinstance(answers, list):
        raise UserError(f"{name} is damaged; give the file as the page has downloaded it.")
    sides: dict[str, dict[int, str]] = {question: {} for question in QUESTIONS}
    for each in answers:
        pair = each.get("pair") if isinstance(each, dict) else None
        if not isinstance(pair, int) or isinstance(pair, bool) or not 0 <= pair < len(key.prompts):
            raise UserError(f"{name} answers a pair that the page has not; give it as downloaded.")
        for question in QUESTIONS:
            side = each.get(question)
            if side is None:
                continue
            if side not in SIDES or pair in sides[question]:
                raise UserError(
                    f"{name} answers pair {pair + 1} with {side!r}, or twice; give the file as the "
                    "page has downloaded it."
                )
            sides[question][pair] = side
    if not any(sides.values()):
        raise UserError(f"{name} has no answer; leave it out.")
    return Answers(rater, sides)


def _read(name: str, wanted: str) -> Mapping[str, Any]:
    try:
        found = json.loads(files.path(name).read_text())
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "it is no JSON"
        raise UserError(f"{name} cannot be read ({reason}); give {wanted}.") from error
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise UserError(f"{name} is not of `{KIND}`; give {wanted}.")
    return found
