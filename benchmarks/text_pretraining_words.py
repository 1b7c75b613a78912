"""The words of `benchmarks.text_pretraining`: captions of the people in nine languages.

emojibase says what each of them is called (MIT; `babeldraw data build emoji` installs it), with
words that go with it. Stage 2 is trained on the English captions of the pictures alone; pretraining
reads the other languages and those words as well.
"""

import dataclasses
import json
import pathlib
import re
from collections.abc import Mapping, Sequence

import numpy as np

from babeldraw.errors import UserError
from babeldraw.files import cache_dir

LANGUAGES = ("de", "es", "fr", "it", "nl", "pl", "pt", "sv")
SYNONYMS: Mapping[str, Sequence[str]] = {
    "cook": ("chef",),
    "farmer": ("gardener", "rancher"),
    "mechanic": ("electrician", "plumber"),
    "scientist": ("biologist", "chemist", "physicist"),
    "singer": ("entertainer", "rockstar"),
    "student": ("graduate",),
    "teacher": ("instructor", "professor"),
}
"""Tags of emojibase that name somebody, by the role that they are tags of."""


@dataclasses.dataclass(frozen=True)
class Words:
    """What pictures are called.

    Attributes:
      labels: language -> concept (code points) -> label, such as "Koch, dunkle Hautfarbe".
      tags: concept -> English label with the tags behind the name.
    """

    labels: Mapping[str, Mapping[str, str]]
    tags: Mapping[str, str]

    def captions(self, concept: str, style: str) -> list[str]:
        """English, the other languages in the order of `LANGUAGES`, and that with tags."""
        named = [self.labels[language][concept] for language in ("en", *LANGUAGES)]
        return [f"{text}, {style} style" for text in (*named, self.tags[concept])]

    def parallel(self, concept: str, language: str) -> str:
        """A line that says the same twice."""
        return f"{self.labels['en'][concept]} = {self.labels[language][concept]}"


def read_words(columns: Mapping[str, np.ndarray]) -> Words:
    """Reads emojibase, as `babeldraw data build emoji` leaves it.

    Args:
      columns: the pictures, whose own captions are the English ones.

    Raises:
      UserError: it is not there.
    """
    folder = cache_dir() / "npm" / "node_modules" / "emojibase-data"
    if not folder.is_dir():
        raise UserError(f"{folder} is missing: run `babeldraw data build emoji` once.")
    cells = zip(columns["concept"], columns["caption"], strict=True)
    concepts = {str(concept): str(caption).rpartition(", ")[0] for concept, caption in cells}
    labels: dict[str, dict[str, str]] = {"en": concepts}
    tags: dict[str, str] = {}
    for language in ("en", *LANGUAGES):
        found = _read(folder / language / "data.json")
        if language != "en":
            labels[language] = {concept: _line(found[concept][0]) for concept in concepts}
            continue
        for concept, caption in concepts.items():
            name, *rest = caption.split(", ")
            tags[concept] = ", ".join([name, *found[concept][1], *rest])
    return Words(labels, tags)


def _read(path: pathlib.Path) -> dict[str, tuple[str, Sequence[str]]]:
    """Code points without variation selectors -> label and tags."""
    found = {}
    for entry in json.loads(path.read_text("utf-8")):
        for each in (entry, *entry.get("skins", ())):
            points = [p for p in each["hexcode"].lower().split("-") if p != "fe0f"]
            found["-".join(points)] = (each["label"], entry.get("tags", ()))
    return found


def _line(label: str) -> str:
    """ "cook: dark skin tone" as captions have it."""
    return re.sub(r"\s*[:\uff1a]\s*", ", ", label)


@dataclasses.dataclass(frozen=True)
class Prompts:
    """Texts to draw, and the row of the gallery that each asks for."""

    texts: Sequence[str]
    rows: np.ndarray


def make_prompts(words: Words, train: Mapping[str, np.ndarray], first: int) -> dict[str, Prompts]:
    """Prompts with words that no training picture had, for pictures that all were trained on.

    Args:
      train: the training split, whose rows come first in the gallery.
      first: how many prompts in other languages.
    """
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(train["image"]))[:first]
    foreign = [
        words.captions(train["concept"][row], train["style"][row])[1 + number % len(LANGUAGES)]
        for number, row in enumerate(rows)
    ]
    texts, asked = [], []
    for role, synonyms in SYNONYMS.items():
        for synonym in synonyms:
            for gender in (1, 2):
                for style in np.unique(train["style"]):
                    fits = (train["role"] == role) & (train["gender"] == gender)
                    row = rng.choice(np.flatnonzero(fits & (train["style"] == style)))
                    text = str(train["caption"][row])
                    texts.append(text.replace(role, synonym, 1))
                    asked.append(row)
                    if synonym not in words.tags[train["concept"][row]] or texts[-1] == text:
                        raise ValueError(f"{synonym} is no tag of {text}")
    return {
        "languages": Prompts(foreign, rows),
        "synonyms": Prompts(texts, np.array(asked)),
    }
