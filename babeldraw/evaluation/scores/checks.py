"""Whether emoji show what was asked: concept, style, gender and skin tone, each right or wrong."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from babeldraw.errors import UserError
from babeldraw.evaluation.checks import discriminant, looks
from babeldraw.evaluation.checks.judge import Checks, Judge
from babeldraw.evaluation.checks.world import ATTRIBUTES, World, smallest_world, world
from babeldraw.evaluation.scores.base import Pictures, ScoreResult
from babeldraw.evaluation.shares import wilson

ALL = "all"
"""The number of pictures that have all right which they are asked."""
_BATCH = 512


@dataclasses.dataclass(frozen=True)
class EmojiChecks:
    """Shares of pictures that show the concept, style, gender and tone of their prompts, and all.

    Attributes:
      checks: of each entry what its pictures have to show; one without is not scored. By its
        name: the id in a suite, the text where there is none.
    """

    checks: Mapping[str, Checks]

    def __post_init__(self) -> None:
        """Looks at the checks, before anything is drawn.

        Raises:
          UserError: no prompt has checks, or some name what no emoji shows.
        """
        if not any(self.checks.values()):
            raise UserError(
                "no prompt says what its pictures have to show; give the suite checks, as "
                '{"concept": "farmer", "tone": "dark"}.'
            )
        self.world  # noqa: B018 - checks the values.

    @property
    def name(self) -> str:
        """As reports call it."""
        return "emoji checks"

    @property
    def settings(self) -> Mapping[str, object]:
        """The real pictures by their hash, and what the judges see of pictures."""
        return {
            "world": self.world.selection,
            "pictures": self.world.digest,
            "fitted on": "training pictures as they are, blurred, and with noise",
            "features": f"pixels, shares of {looks.COLOURS}^3 colours",
            "resize": f"to {looks.SIDE} px, Pillow BOX",
            "blur": looks.BLUR,
            "noise": looks.NOISE,
            "shrinkage": discriminant.SHRINKAGE,
        }

    @functools.cached_property
    def world(self) -> World:
        """The smallest that has all values that are asked."""
        return smallest_world(self.checks.values())

    @property
    def judge(self) -> Judge:
        """Fitted when it is first needed."""
        return _judge(self.world.selection)

    def of(
        self, pictures: Pictures, texts: Sequence[str], references: Pictures | None
    ) -> dict[str, ScoreResult]:
        """Where each text is an entry's name; see `of_entries`."""
        return self.of_entries(pictures, texts, texts)

    def of_entries(
        self, pictures: Pictures, names: Sequence[str], texts: Sequence[str]
    ) -> dict[str, ScoreResult]:
        """Of each attribute that is asked, and of `all` of them, the share that is right.

        Intervals are Wilson's, of as many draws as there are prompts: pictures of one prompt are
        no independent ones. A gender whose picture is another gender's, too, is not scored, and
        has NaN in the place of a number.

        Args:
          names: of each picture's entry, by which `checks` knows it.
          texts: what each picture was drawn from, which several entries may have in common.

        Raises:
          UserError: none of the entries has checks, or pictures are not square.
        """
        asked = [self.checks.get(name, {}) for name in names]
        parts: list[np.ndarray] = []
        begin = 0
        for batch in pictures.batches(_BATCH):
            verdicts = self.judge(batch, asked[begin : begin + len(batch)])
            parts.append(np.stack([verdicts[name] for name in ATTRIBUTES], axis=1))
            begin += len(batch)
        right = np.concatenate(parts) if parts else np.zeros((0, len(ATTRIBUTES)))
        scored = ~np.isnan(right)
        if not scored.any():
            raise UserError("none of the pictures' prompts has checks; give pictures of the suite.")
        everything = np.where(scored, right, 1).min(axis=1)
        everything = np.where(scored.any(axis=1), everything, np.nan)
        warnings = self._warnings(asked)
        columns = {**dict(zip(ATTRIBUTES, right.T, strict=True)), ALL: everything}
        return {
            name: _share(values, texts, warnings.get(name, ()))
            for name, values in columns.items()
            if not np.isnan(values).all()
        }

    def _warnings(self, asked: Sequence[Checks]) -> Mapping[str, tuple[str, ...]]:
        """What is left out, by the number that it is left out of."""
        found = {}
        without = sum(not each for each in asked)
        if without:
            found[ALL] = (f"{without} of {len(asked)} left out, whose prompt has no checks.",)
        alike = self.judge.undecidable(asked)
        if alike:
            found["gender"] = (
                f"{alike} left out, whose real picture looks like that of another gender, too.",
            )
        return found


@functools.cache
def _judge(selection: str) -> Judge:
    return Judge(world(selection))


def _share(
    values: Float[np.ndarray, "n"], texts: Sequence[str], warnings: tuple[str, ...]
) -> ScoreResult:
    kept = ~np.isnan(values)
    value = float(values[kept].mean())
    prompts = len({text for text, scored in zip(texts, kept, strict=True) if scored})
    return ScoreResult(value, wilson(value, prompts), values, int(kept.sum()), warnings)
