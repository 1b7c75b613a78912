"""What to try next, by rules from a run's figures. Each names the figure that it follows from."""

from babeldraw.evaluation.reporting.reading import Run, whole
from babeldraw.training.watching.panels import Points, gap_of

TURNED = 0.02
"""Share of the lowest held-out loss by which the last one is higher where it is said to turn."""
FALLING = 0.01
"""Share by which the last quarter still betters a score where more steps are advised."""
FEW_CODES = 0.5
SMALL_GAP = 0.1


def advice(run: Run) -> list[str]:
    """Sentences; none where no rule applies, or an alarm of the run says the same."""
    raised = {alarm.kind for alarm in run.alarms}
    found = {
        "": _go_on(run),
        "evaluate": _evaluate(run),
        "memorising": _memorised(run),
        "longer": _still_better(run),
        "codebook": _codes(run),
        "prompt_gap": _prompts(run),
        "bilinear": _worse_than_bilinear(run),
    }
    return [sentence for kind, sentence in found.items() if sentence and kind not in raised]


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


def _memorised(run: Run) -> str:
    best = _turned(_score(run))
    if best is None:
        return ""
    return (
        f"Held-out pictures were best at step {best:,} and have become worse since: from there on "
        f"it memorises. Train to step {best:,}, with more pictures, or with a higher DROPOUT_RATE "
        "and TOKEN_NOISE_RATE."
        if run.kind == "text_to_image"
        else f"Held-out pictures were best at step {best:,} and have become worse since: train to "
        f"step {best:,}, or with more pictures."
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


def _codes(run: Run) -> str:
    usage = run.last("codebook_usage")
    if run.kind != "tokenizer" or usage is None or usage >= FEW_CODES:
        return ""
    revived = whole(run.setting("objective", "revive_every") or run.macros.get("REVIVE_EVERY"))
    what = (
        "lower CODEBOOK_SIZE or LEARNING_RATE"
        if revived
        else "set REVIVE_EVERY to 20, which puts unused codes to use"
    )
    return f"{usage:.0%} of the codes are in use: {what}."


def _prompts(run: Run) -> str:
    gap = gap_of(run.series)
    if not gap or gap[-1][1] >= SMALL_GAP:
        return ""
    return (
        f"The prompt gap is {gap[-1][1]:.2f} nats: the pictures hardly follow the words. See "
        "whether captions tell the pictures apart (`babeldraw data inspect`), train longer, and "
        "draw with a higher guidance_weight (`babeldraw sample --guidance_weight`)."
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
