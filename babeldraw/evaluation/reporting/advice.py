"""What to try next, by rules from a run's figures. Each names the figure that it follows from.

What is wrong with a run is not said here: alarms are (`babeldraw.objectives.alarms`).
"""

from babeldraw.evaluation.reporting.reading import Run
from babeldraw.training.watching.panels import Points

TURNED = 0.02
"""Share of the lowest held-out loss by which the last one is higher where it is said to turn."""
FALLING = 0.01
"""Share by which the last quarter still betters a score where more steps are advised."""


def advice(run: Run) -> list[str]:
    """Sentences; none where no rule applies."""
    found = [_go_on(run), _evaluate(run), _still_better(run), _worse_than_bilinear(run)]
    return [sentence for sentence in found if sentence]


def _go_on(run: Run) -> str:
    steps = run.train_steps
    if not steps or run.step >= steps or run.checkpoint is None:
        return ""
    return (
        f"It is at step {run.step:,} of {steps:,}: where it does not go on any more, give the same "
        f"command again, which begins at step {run.checkpoint:,}."
    )


def _evaluate(run: Run) -> str:
    if not run.records or any("eval" in splits for splits in run.series.values()):
        return ""
    return (
        "Set EVAL_EVERY to a tenth of the steps or less: without held-out pictures nobody sees "
        "whether it learns or memorises."
    )


def _still_better(run: Run) -> str:
    points = _score(run)
    if len(points) < 4 or _turned(points) is not None:
        return ""
    before, last = points[-1 - len(points) // 4], points[-1]
    if before[1] - last[1] <= FALLING * abs(before[1]):
        return ""
    steps = f" Set TRAIN_STEPS to {2 * run.train_steps:,}." if run.train_steps else ""
    return (
        f"Held-out pictures were still getting better between step {before[0]:,} and the end, step "
        f"{last[0]:,}: train longer.{steps}"
    )


def _worse_than_bilinear(run: Run) -> str:
    psnr, bilinear = run.last("psnr"), run.last("bilinear_psnr")
    if psnr is None or bilinear is None or psnr >= bilinear:
        return ""
    return "Bilinear enlargement is still better: train longer, or with a higher LEARNING_RATE."


def _score(run: Run) -> Points:
    """Held-out figures of which less is better: the loss, or the negative PSNR."""
    psnr = run.series.get("psnr", {}).get("eval", [])
    if psnr:
        return [(step, -value) for step, value in psnr]
    return run.series.get("loss", {}).get("eval", [])


def _turned(points: Points) -> int | None:
    """The step of the lowest point, where it is not among the last two and the last is higher."""
    if len(points) < 4:
        return None
    step, lowest = min(points, key=lambda point: point[1])
    is_over = step < points[-2][0] and points[-1][1] > lowest + TURNED * abs(lowest)
    return step if is_over else None
