"""The rungs: which recipe `babeldraw quickstart` takes for a machine, minutes and pictures.

What a rung trains stands in gin/rungs/RUNG_STAGE.gin; here is how it is chosen. See docs/rungs.md.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from babeldraw.errors import UserError

STAGES = ("tokenizer", "text_to_image")
NO_TEXT = 16
"""Tokens of a text where there are none: the data pipeline wants a number."""


PASSES = 100
"""Times that the second stage should see each picture: 61 were enough for 64 tokens, 59 too few for
144 (docs/small_photographs.md)."""

TOKENIZER_STEPS, TOKENIZER_MOST = 1000, 0.5
"""Steps for which the tokenizer takes more than its share where the machine is slow or the time
short, up to so much of both stages' time. What it cannot tell apart no second stage draws: 589
pictures of 32 px came back at 16.3 dB after a run of 300 steps, and at 20.4 dB after one of 1,500,
which had 20.0 dB at step 900."""


@dataclasses.dataclass(frozen=True)
class Rung:
    """One recipe of both stages.

    Attributes:
      name: gin/rungs/NAME_tokenizer.gin and gin/rungs/NAME_text_to_image.gin.
      accelerated: whether it is for a GPU or TPU.
      from_minutes: it is taken where there is at least so much time.
      size: of the pictures by default at most, in pixels.
      patches: size -> side of a token's patch, in pixels, of the sizes that it can have.
      paces: size -> pictures a second that the second stage learns from, on the two quiet cores
        that docs/rungs.md names; empty where nobody has measured. Measured with 2,048 codes at 48
        px; the others with fewer codes, and then taken to lose as much by more.
      shares: of the minutes, for each of `STAGES`; the rest is for drawing and scoring.
    """

    name: str
    accelerated: bool
    from_minutes: float
    size: int
    patches: Mapping[int, int]
    paces: Mapping[int, float] = dataclasses.field(default_factory=dict)
    shares: tuple[float, float] = (0.2, 0.7)

    def recipe(self, stage: str) -> str:
        """The gin file of a stage."""
        return f"gin/rungs/{self.name}_{stage}.gin"


RUNGS = (
    Rung("cpu", False, 0, 64, {32: 4, 48: 4, 64: 4, 128: 8}, {32: 105, 48: 48, 64: 24}),
    Rung("evening", False, 120, 64, {32: 4, 48: 4, 64: 4, 128: 8}, {32: 60, 48: 27, 64: 13}),
    Rung("gpu_hour", True, 0, 128, {64: 4, 128: 8}),
    Rung("gpu_day", True, 360, 256, {128: 8, 256: 16}),
)
"""By time, for each kind of machine."""


def choose_rung(accelerated: bool, minutes: float) -> Rung:
    """The last one that the time is enough for."""
    fit = [r for r in RUNGS if r.accelerated == accelerated and r.from_minutes <= minutes]
    return fit[-1]


def choose_size(
    rung: Rung, side: float, pictures: int, minutes: float, asked: int | None
) -> tuple[int, str]:
    """The side of the squares to train on, in pixels, and why that.

    The largest at which the second stage sees each picture `PASSES` times, if there is one.

    Args:
      side: the median of the pictures' shorter sides: they are not enlarged where that can be.
      pictures: to train on.
      minutes: in all.
      asked: by the user.

    Raises:
      UserError: the rung has no such size.
    """
    if asked is not None:
        if asked not in rung.patches:
            known = ", ".join(map(str, rung.patches))
            raise UserError(
                f"--size is {asked}; the rung {rung.name} has {known}: give one of these."
            )
        return asked, "as asked"
    least = min(rung.patches)
    sizes = [size for size in rung.patches if size <= max(least, min(rung.size, side))]
    if not rung.paces:
        return max(sizes), "the rung's, or the pictures' own"
    seconds = 60 * minutes * rung.shares[1]
    passes = {size: seconds * rung.paces[size] / pictures for size in sizes}
    enough = [size for size in sizes if passes[size] >= PASSES]
    size = max(enough, default=least)
    why = f"about {passes[size]:.0f} passes over the pictures in stage 2"
    larger = [other for other in sizes if other > size]
    if not enough:
        why += f", where {PASSES} are wanted: give more --minutes"
    elif larger:
        why += f", where {min(larger)} px would have {passes[min(larger)]:.0f}"
    return size, why


def choose_codes(codes: int, pictures: int, tokens: int) -> int:
    """The rung's `codes`, halved until the set has 16 tokens for each to be learned by.

    Args:
      pictures: to train on.
      tokens: of a picture.
    """
    while codes > 64 and pictures * tokens < 16 * codes:
        codes //= 2
    return codes


def choose_batch(batch: int, train: int, held_out: int) -> int:
    """The rung's `batch`, halved until both splits fill one."""
    while batch > min(train, held_out):
        batch //= 2
    return batch


def share_time(left: Sequence[float], wanted: float) -> tuple[float, list[float]]:
    """Seconds for a stage and for those after it, of which the tokenizer's may take some.

    Args:
      left: the shares of the stage and of those after it; one share is the last stage's.
      wanted: what a tokenizer's `TOKENIZER_STEPS` need.
    """
    own, *after = left
    if not after:
        return own, []
    own = max(own, min(wanted, TOKENIZER_MOST * sum(left)))
    return own, [after[0] - (own - left[0])]
