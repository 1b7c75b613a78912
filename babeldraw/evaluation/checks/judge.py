"""Right or wrong: what each drawn picture shows of what it was asked to show."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from babeldraw.evaluation.checks.discriminant import Discriminant, fit
from babeldraw.evaluation.checks.looks import Looks, Pictures, look, worse
from babeldraw.evaluation.checks.world import ATTRIBUTES, World, world

Checks = Mapping[str, str]
Verdicts = Mapping[str, Float[np.ndarray, "n"]]
"""Of each attribute 1 for right, 0 for wrong, NaN where it is not asked or cannot be told."""

Read = Callable[[Pictures], Looks]


@dataclasses.dataclass(frozen=True)
class Judge:
    """Fitted on the real pictures of a world, never on drawn ones.

    People are judged by three discriminants, fitted on the training pictures alone: of style and
    concept; of these and the gender, whose pictures then differ in the skin tone; of style and skin
    tone. Anything else is what the nearest of all real pictures shows: of most concepts there is
    one picture a style, and no class to fit.

    Both are made when they are first needed: seconds for the quickstart's world, up to a minute for
    the larger ones.

    Attributes:
      read: what is seen of pictures.
    """

    world: World
    read: Read = look

    @functools.cached_property
    def of_people(self) -> Mapping[str, Discriminant]:
        """By what it tells; that of concepts tells the style, too.

        Each training picture counts three times: as it is, blurred, and with noise.
        """
        people = world("people") if self.world.selection == "all" else self.world
        rows = people.is_training
        images = people.images[rows]
        looks = np.concatenate([self.read(each) for each in (images, *worse(images))])
        return {
            name: fit(looks, np.tile(_joint(people, self.world, name)[rows], 3)) for name in _JOINT
        }

    @functools.cached_property
    def nearest_to(self) -> Looks:
        """What is seen of all pictures of the world."""
        return self.read(self.world.images)

    def __call__(self, images: Pictures, asked: Sequence[Checks]) -> Verdicts:
        """What is right of `asked`, whose names and values the world has."""
        labels = self.labels(images, np.array([self._is_person(each) for each in asked], bool))
        verdicts = {}
        for name in ATTRIBUTES:
            values = self.world.names[name]
            right = [
                self._is_right(name, each, values[label]) if name in each else np.nan
                for each, label in zip(asked, labels[name], strict=True)
            ]
            verdicts[name] = np.array(right, float)
        return verdicts

    def labels(
        self, images: Pictures, people: Bool[np.ndarray, "n"]
    ) -> dict[str, Int[np.ndarray, "n"]]:
        """Of each attribute the index of what is seen.

        Args:
          people: which pictures are asked to show people with a gender and a skin tone.
        """
        looks = self.read(images)
        found = {name: np.full(len(images), -1) for name in ATTRIBUTES}
        if people.any():
            for name, discriminant in self.of_people.items():
                split = np.unravel_index(discriminant(looks[people]), _shape(self.world, name))
                found[name][people] = split[_JOINT[name].index(name)]
                if name == "concept":
                    found["style"][people] = split[0]
        if not people.all():
            nearest = self._nearest(looks[~people])
            for name in ("concept", "style"):
                found[name][~people] = self.world.labels[name][nearest]
        return found

    def undecidable(self, asked: Sequence[Checks]) -> int:
        """Of how many pictures the gender is asked and cannot be told."""
        return sum("gender" in each and not self._gender_can_be_told(each) for each in asked)

    def _is_person(self, asked: Checks) -> bool:
        return asked.get("concept") in self.world.roles

    def _is_right(self, name: str, asked: Checks, seen: str) -> float:
        """NaN where it cannot be told; concepts drawn alike in the style count as each other."""
        if name == "gender" and not self._gender_can_be_told(asked):
            return np.nan
        if asked[name] == seen:
            return 1.0
        alike = self._copies.get((asked.get("concept", ""), asked.get("style", "")), frozenset())
        return float(name == "concept" and seen in alike)

    def _gender_can_be_told(self, asked: Checks) -> bool:
        """Whether no picture asked for is another gender's, too; a style may be left open."""
        given = (asked["concept"], asked.get("style"), asked.get("tone"), asked["gender"])
        return not any(
            all(value in (None, other) for value, other in zip(given, each, strict=True))
            for each in self.world.genders_alike
        )

    def _nearest(self, looks: Looks) -> Int[np.ndarray, "n"]:
        known = self.nearest_to
        squares = np.sum(known * known, axis=1)
        parts = np.array_split(looks, -(-len(looks) // 256))
        return np.concatenate([np.argmin(squares - 2 * part @ known.T, axis=1) for part in parts])

    @functools.cached_property
    def _copies(self) -> Mapping[tuple[str, str], frozenset[str]]:
        """Concept and style -> other concepts with the same pixels."""
        of_pixels: dict[bytes, set[tuple[str, str]]] = {}
        for image, cell in zip(self.world.images, self.world.cells, strict=True):
            key = (cell.role or cell.label, cell.style)
            of_pixels.setdefault(image.tobytes(), set()).add(key)
        return {
            key: frozenset(concept for concept, _ in group)
            for group in of_pixels.values()
            if len({concept for concept, _ in group}) > 1
            for key in group
        }


_JOINT = {
    "concept": ("style", "concept"),
    "gender": ("style", "concept", "gender"),
    "tone": ("style", "tone"),
}
"""By what is told, which combinations of values are classes."""


def _shape(known: World, name: str) -> tuple[int, ...]:
    return tuple(len(known.names[each]) for each in _JOINT[name])


def _joint(people: World, known: World, name: str) -> Int[np.ndarray, "n"]:
    """The number of each picture's combination of values, as the larger world counts them."""
    indices = []
    for each in _JOINT[name]:
        place = np.array([known.names[each].index(value) for value in people.names[each]])
        indices.append(place[people.labels[each]])
    joint: np.ndarray = np.ravel_multi_index(indices, _shape(known, name))
    return joint
