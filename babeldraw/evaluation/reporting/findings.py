"""What a run learned, in sentences with units; nothing that its records do not say."""

import math
import re
from collections.abc import Callable, Mapping

from babeldraw.evaluation.reporting.reading import Raised, Run, whole
from babeldraw.training.watching.panels import CLASS_GAP, GAP, gap_of, title

TITLES = {
    "tokenizer": "Tokenizer",
    "text_to_image": "Text to image",
    "image_tokens": "Image model",
    "super_resolution": "Super-resolution",
    "coca": "Contrastive captioner",
    "text_encoder": "Text encoder",
    "decoder_finetune": "Larger decoder",
    "run": "Run",
}
"""Kind of run -> how the page calls it."""


def sentences(run: Run) -> list[str]:
    """What was learned, as of the last evaluation."""
    if not run.records:
        return ["Nothing is recorded yet: the run was started and has not come to a log line."]
    if not any("eval" in splits for splits in run.series.values()):
        return [*_loss_of_training(run), _NO_EVALUATION]
    return _OF_KIND.get(run.kind, _other)(run) or _other(run)


_NO_EVALUATION = (
    "Nothing was measured on held-out pictures: EVAL_EVERY is 0, or the run ended before its first "
    "evaluation."
)


def _tokenizer(run: Run) -> list[str]:
    found = _reconstruction(run, "Held-out pictures come back")
    usage, perplexity = run.last("codebook_usage"), run.last("perplexity")
    codes = whole(run.setting("objective", "model", "codebook_size"))
    if usage is not None:
        of = f"its {codes:,} codes" if codes else "its codes"
        sentence = f"{usage:.0%} of {of} are in use on held-out pictures"
        if perplexity is not None:
            sentence += f", as evenly as {perplexity:,.0f} codes of equal use would be"
        found.append(f"{sentence}.")
    return found


def _text_to_image(run: Run) -> list[str]:
    found = []
    gap = gap_of(run.series)
    if gap:
        value = gap[-1][1]
        found.append(
            f"A prompt is worth {value:.2f} nats a token on held-out pictures (the prompt gap): "
            f"{_worth(value)}"
        )
    seen_gap = run.last(GAP, "seen")
    if seen_gap is not None:
        found.append(f"On pictures that were trained on it is worth {seen_gap:.2f}.")
    return [*found, *_cost_of_a_token(run)]


def _image_tokens(run: Run) -> list[str]:
    gap = run.last(CLASS_GAP)
    if gap is None:
        return _cost_of_a_token(run)
    worth = f"A class is worth {gap:.3f} nats a token on held-out pictures (the class gap)"
    classes, rows, columns = (
        whole(run.setting("objective", "model", name))
        for name in ("num_classes", "rows", "columns")
    )
    if classes > 1 and rows and columns:
        most = math.log(classes) / (rows * columns)
        worth += f"; to a perfect model {classes:,} classes are worth {most:.3f}"
    return [f"{worth}.", *_cost_of_a_token(run)]


def _cost_of_a_token(run: Run) -> list[str]:
    loss, seen = run.last("loss"), run.last("loss", "seen")
    if loss is None:
        return []
    codes = whole(run.setting("objective", "model", "codebook_size"))
    of = f" out of {codes:,}" if codes else ""
    return [
        f"Each image token of a held-out picture costs {loss:.2f} nats, as a choice among "
        f"{math.exp(min(loss, 30)):,.1f} equally likely codes{of} does"
        + (f"; of pictures that were trained on {seen:.2f}." if seen is not None else ".")
    ]


def _worth(gap: float) -> str:
    if gap < 0.05:
        return "the drawings hardly depend on the words."
    times = math.exp(min(gap, 30))
    return f"with it the model finds each right token {times:.2g} times as likely as without."


def _super_resolution(run: Run) -> list[str]:
    found = _reconstruction(run, "Enlarged held-out pictures are")
    psnr, bilinear = run.last("psnr"), run.last("bilinear_psnr")
    if psnr is not None and bilinear is not None:
        than = "better" if psnr >= bilinear else "worse"
        found.append(
            f"That is {abs(psnr - bilinear):.2f} dB {than} than bilinear enlargement "
            f"({bilinear:.1f} dB)."
        )
    return found


def _coca(run: Run) -> list[str]:
    found = _matches(run)
    accuracy = run.last("caption_accuracy")
    if accuracy is not None:
        found.append(f"{accuracy:.0%} of the tokens of held-out captions are guessed right.")
    return found


def _text_encoder(run: Run) -> list[str]:
    found = _matches(run)
    accuracy, masked = run.last("masked_accuracy"), run.last("masked")
    if accuracy is not None and masked is not None:
        found.append(
            f"{accuracy:.0%} of the hidden tokens of held-out texts are guessed right; each costs "
            f"{masked:.2f} nats."
        )
    return found


def _matches(run: Run) -> list[str]:
    """Of pictures and captions in a batch."""
    found = []
    size = whole(run.setting("eval_dataset", "batch_size"))
    among = f"Among the {size} of a batch, " if size else "Within a batch, "
    pictures, captions = run.last("image_to_text"), run.last("text_to_image")
    if pictures is not None and captions is not None:
        found.append(
            f"{among}{pictures:.0%} of the held-out pictures find their caption and "
            f"{captions:.0%} of the captions their picture"
            + (f"; guessing would find {1 / size:.1%}." if size else ".")
        )
    return found


def _decoder(run: Run) -> list[str]:
    return _reconstruction(run, "Held-out pictures come back from the larger decoder")


def _reconstruction(run: Run, begin: str) -> list[str]:
    psnr = run.last("psnr")
    if psnr is None:
        return []
    levels = 255 * 10 ** (-psnr / 20)
    sentence = (
        f"{begin} at {psnr:.1f} dB (PSNR): a colour value is off by {levels:.0f} of 255 levels "
        "(root mean square)"
    )
    seen = run.last("psnr", "seen")
    return [sentence + (f"; pictures that were trained on at {seen:.1f} dB." if seen else ".")]


def _loss_of_training(run: Run) -> list[str]:
    points = run.series.get("loss", {}).get("train", [])
    if not points:
        return []
    (first, before), (last, after) = points[0], points[-1]
    return [
        f"The loss of training went from {before:.3g} at step {first:,} to {after:.3g} at step "
        f"{last:,}."
    ]


def _other(run: Run) -> list[str]:
    found = {name: run.last(name) for name in sorted(run.series)}
    return [
        f"{title(name)}: {value:.3g} on held-out pictures."
        for name, value in found.items()
        if value is not None
    ]


_OF_KIND: Mapping[str, Callable[[Run], list[str]]] = {
    "tokenizer": _tokenizer,
    "text_to_image": _text_to_image,
    "image_tokens": _image_tokens,
    "super_resolution": _super_resolution,
    "coca": _coca,
    "text_encoder": _text_encoder,
    "decoder_finetune": _decoder,
}


def alarm(raised: Raised) -> str:
    """With the steps at which it was raised."""
    until = f" to {raised.last:,}" if raised.last > raised.first else ""
    return f"Alarm at step {raised.first:,}{until}: {raised.message}."


def progress(run: Run) -> str:
    """How far it has come, and what goes on from where."""
    steps = run.train_steps
    if steps is None:
        sentence = f"Trained to step {run.step:,}."
    elif run.step >= steps:
        return f"Trained to its last step, {steps:,}."
    else:
        sentence = f"At step {run.step:,} of {steps:,}: still going on, or stopped."
    if run.checkpoint is None:
        return f"{sentence} No checkpoint is saved."
    return f"{sentence} The same command goes on from step {run.checkpoint:,}, which is saved."


def dataset(run: Run) -> str:
    """Which data, and how many pictures; "" where neither is known."""
    task = str(run.setting("train_dataset", "mixture_or_task_name") or "")
    task = task or run.macros.get("MIXTURE_OR_TASK_NAME", "").strip("'\"")
    data = run.manifest.get("data")
    pictures = whole(data.get("pictures")) if isinstance(data, Mapping) else 0
    task = re.sub(r"(?<=[:@])/(?!/)\S*/(?=[^/])", "", task)  # a folder's name without where it lies
    return f"{task} ({pictures:,} pictures)" if task and pictures else task
