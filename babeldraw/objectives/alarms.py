"""What is wrong with a run, told from its figures and its data: functions without effects.

The thresholds were found by `python -m benchmarks.alarms`, which trains healthy and sick runs; what
it measured is in docs/watching.md.
"""

import collections
import dataclasses
import math
from collections.abc import Mapping, Sequence

History = Mapping[str, Mapping[str, Sequence[tuple[int, float]]]]
"""Figure -> split (`train`; `eval` for held out; `seen`) -> (step, value) of each record."""

EARLY, EARLY_STEPS = 0.2, 50
"""Share of a run's steps until which nothing is expected of prompts and codes, and steps that are
too few for both in any run, such as the quickstart's trials."""

LEAST_GAP = 0.05
"""Nats a token that prompts are worth at least where they are read."""

LEAST_CLASS_SHARE = 0.1
"""Of what classes can tell at most, what they are worth at least where they are read. Not found by
runs: a model that tells any classes apart is above it."""

WORSE = {"loss": 0.1, "psnr": 0.02}
"""Share by which a held-out figure is worse than its best where pictures are learned by heart. The
loss of healthy runs, whose samples still get better, came to 4% above its best."""

MANY_PASSES = 50
MANY_PARAMETERS = 10
"""A set is too small where each picture is trained on more often than this, by a model of more
parameters than this for each token to predict."""

SAME_CAPTION = 0.5
"""Captions are all alike where one is that of so large a share of the pictures."""


@dataclasses.dataclass(frozen=True)
class Alarm:
    """`kind` is for programs; `message`, the cause and then what to do, for people."""

    kind: str
    message: str


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run is going to do.

    Attributes:
      pictures: of the training set; None where the dataset does not tell.
    """

    train_steps: int
    batch_size: int
    pictures: int | None = None

    def is_early(self, step: int) -> bool:
        """Whether nothing can be said yet."""
        return step <= max(EARLY * self.train_steps, EARLY_STEPS)


def _points(history: History, figure: str, split: str) -> Sequence[tuple[int, float]]:
    """None where no value was finite."""
    return history.get(figure, {}).get(split, ())


def _small_gaps(
    history: History, plan: Plan, figure: str, least: float
) -> tuple[float, float] | None:
    """The last gaps on held-out and on seen pictures; None unless the first is below `least`.

    None, too, as long as nothing can be said of them.
    """
    points = [_points(history, figure, split) for split in ("eval", "seen")]
    if not all(points):
        return None
    (step, gap), (_, seen) = (each[-1] for each in points)
    return None if plan.is_early(step) or gap >= least else (gap, seen)


def prompts_unread(history: History, plan: Plan) -> list[Alarm]:
    """The prompt gap of held-out pictures is near 0 although the run is well under way."""
    gaps = _small_gaps(history, plan, "prompt_gap", LEAST_GAP)
    if gaps is None:
        return []
    gap, seen = gaps
    said = (
        f"the prompt is worth {gap:.3f} nats a token on held-out pictures and {seen:.3f} on seen "
        f"ones (alarm below {LEAST_GAP} on held-out ones)"
    )
    if seen >= LEAST_GAP:
        why = "captions are learned by heart, and tell nothing of other pictures"
        fix = "that held-out captions use the words of seen ones, or take more pictures"
    else:
        why = "captions are not read"
        fix = "that they say what is on them, train longer, or set PICTURE_DROPOUT_RATE to 0.2"
    return [
        Alarm(
            "prompt_gap",
            f"{said}: {why}; see in `babeldraw data inspect` that captions belong to their "
            f"pictures, and {fix}",
        )
    ]


def class_unread(history: History, plan: Plan, num_classes: int, num_tokens: int) -> list[Alarm]:
    """The class gap of held-out pictures is a small share of what classes can tell.

    They tell `ln num_classes` nats of a picture at most: that much over its tokens.
    """
    if num_classes < 2:
        return []
    least = LEAST_CLASS_SHARE * math.log(num_classes) / num_tokens
    gaps = _small_gaps(history, plan, "class_gap", least)
    if gaps is None:
        return []
    gap, seen = gaps
    if seen >= least:
        why = "classes are learned by heart, and tell nothing of other pictures"
        fix = "see that pictures stand under their own class, or take more pictures"
    else:
        why = "classes are not read"
        fix = "train for more steps, or set PICTURE_DROPOUT_RATE to 0.2"
    return [
        Alarm(
            "class_gap",
            f"the class is worth {gap:.2g} nats a token on held-out pictures and {seen:.2g} on "
            f"seen ones (alarm below {least:.2g} on held-out ones, {LEAST_CLASS_SHARE:.0%} of what "
            f"{num_classes} classes can tell): {why}; {fix}",
        )
    ]


def codes_unused(
    history: History, plan: Plan, least: float, codebook_size: int, revive_every: int
) -> list[Alarm]:
    """A smaller share than `least` of the codes is in use although the run is well under way."""
    *_, (step, usage) = (0, 1.0), *_points(history, "codebook_usage", "eval")
    for _, of_seen in _points(history, "codebook_usage", "seen")[-1:]:
        usage = max(usage, of_seen)  # Held-out pictures may be too few to have every code.
    if plan.is_early(step) or usage >= least:
        return []
    fixes = ["lower CODEBOOK_SIZE, code_dim or the learning rate"]
    if not revive_every:
        fixes.insert(0, "set REVIVE_EVERY to 20")
    return [
        Alarm(
            "codebook",
            f"only {usage:.1%} of the {codebook_size} codes are in use (alarm below {least:.0%}): "
            + ", or ".join(fixes),
        )
    ]


def memorised(history: History, figure: str, *, rises: bool) -> list[Alarm]:
    """Held-out pictures get worse, for two evaluations at least, while seen ones get better.

    Args:
      figure: by which both are told, one of `WORSE`.
      rises: whether the better value is the larger one.
    """
    sign = 1 if rises else -1
    held_out = [(step, sign * value) for step, value in _points(history, figure, "eval")]
    seen = {step: sign * value for step, value in _points(history, figure, "seen")}
    if not held_out or held_out[-1][0] not in seen:
        return []
    best_step, best = max(held_out, key=lambda point: point[1])
    since = [value for step, value in held_out if step > best_step]
    turned = len(since) >= 2 and max(since[-2:]) < best - WORSE[figure] * abs(best)
    if not turned or seen[held_out[-1][0]] <= seen.get(best_step, float("inf")):
        return []
    return [
        Alarm(
            "memorising",
            f"{figure} of held-out pictures was best at step {best_step} ({sign * best:.4g}; "
            f"{sign * held_out[-1][1]:.4g} now), while that of seen ones still gets better, so the "
            f"run learns pictures by heart: set TRAIN_STEPS to about {best_step}, take more "
            "pictures or a smaller model, or raise DROPOUT_RATE",
        )
    ]


def set_too_small(plan: Plan, parameters: int, tokens: int) -> list[Alarm]:
    """The set is too small for the model, by `MANY_PASSES` and `MANY_PARAMETERS`.

    Args:
      parameters: of the model.
      tokens: of each picture.
    """
    if not plan.pictures:
        return []
    passes = plan.train_steps * plan.batch_size / plan.pictures
    for_each = parameters / (plan.pictures * tokens)
    if passes <= MANY_PASSES or for_each <= MANY_PARAMETERS:
        return []
    return [
        Alarm(
            "small_set",
            f"{plan.pictures:,} pictures are few for {parameters:,} parameters and "
            f"{plan.train_steps:,} steps: {for_each:.0f} parameters for each token to learn (alarm "
            f"above {MANY_PARAMETERS}), each picture {passes:.0f} times (alarm above "
            f"{MANY_PASSES}), so it will learn them by heart: it may draw their captions well, and "
            "will hardly draw others; take more pictures or a smaller model",
        )
    ]


def captions_alike(captions: Sequence[str]) -> list[Alarm]:
    """Most of some captions are one and the same."""
    if len(captions) < 2:
        return []
    ((caption, times),) = collections.Counter(captions).most_common(1)
    if times <= SAME_CAPTION * len(captions):
        return []
    return [
        Alarm(
            "captions_alike",
            f"{times} of the first {len(captions)} captions are all {caption[:60]!r}: a model "
            "cannot tell pictures apart by them; give captions that say what is on each picture",
        )
    ]
