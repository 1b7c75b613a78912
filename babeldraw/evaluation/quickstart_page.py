"""The page and the sheet that show what the quickstart learned."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from babeldraw.evaluation import quickstart_checks
from babeldraw.evaluation.quickstart import CUTOFF, Drawn, Results, Spoken, Tokenized
from babeldraw.evaluation.reporting import document, reading, sections
from babeldraw.evaluation.reporting.document import Section, join, listing, paragraph
from babeldraw.evaluation.reporting.pictures import Shown, gallery
from babeldraw.training.watching.captioned import write_captioned

SHOWN_HELDOUT, SHOWN_SEEN = 48, 24


def page(
    title: str,
    summary: Mapping[str, Any],
    results: Results,
    model_dirs: Sequence[Path],
    chosen: Sequence[str],
) -> str:
    """`report.html`.

    Args:
      summary: of `quickstart.summary`.
      model_dirs: the runs, in the order of the stages.
      chosen: sentences on what was chosen, and why.
    """
    lead = f"The last call of the command took {summary['wall_seconds'] / 60:.1f} minutes."
    found = []
    if results.spoken is not None:
        found = [
            Section("Captions of held-out pictures", _drawn(results.spoken.heldout, SHOWN_HELDOUT)),
            Section("Captions of pictures trained on", _drawn(results.spoken.seen, SHOWN_SEEN)),
        ]
        if not _of_seen_words(results.spoken.heldout):
            found.reverse()
    said = sentences(summary)
    return document.page(title, lead, [*found, *rest(results.tokenized, said, model_dirs, chosen)])


def rest(
    tokenized: Tokenized, said: Sequence[str], model_dirs: Sequence[Path], chosen: Sequence[str]
) -> list[Section]:
    """What stands below what was drawn; `said` are sentences on what was learned."""
    rebuilt = [
        Shown("", [("real", real), ("rebuilt", made)]) for real, made in tokenized.reconstructions
    ]
    found = [
        Section("Held-out pictures through the tokenizer", gallery(rebuilt)),
        Section("What was learned", listing(said)),
    ]
    if chosen:
        found.append(Section("What was chosen", listing(chosen)))
    runs = [reading.read(str(directory)) for directory in model_dirs]
    return [*found, *sections.of(runs)]


def sentences(summary: Mapping[str, Any]) -> list[str]:
    """What report.json says, with units."""
    said = [of_tokenizer(summary["tokenizer"])]
    if "retrieval" not in summary:
        return [*said, "No texts were learned: the pictures have no captions."]
    right, losses = summary["retrieval"], summary["text_to_image"]
    said += [
        f"The real picture nearest to a sample is the one that the prompt describes for "
        f"{right['train_top1']:.0%} of {right['train_prompts']} seen prompts and for "
        f"{right['heldout_top1']:.0%} of {right['heldout_prompts']} held-out ones.",
        f"The prompt gap, by which the loss grows where the prompt is not told, is "
        f"{losses['prompt_gap']:.2f} nats a token on training pictures and "
        f"{losses['heldout_prompt_gap']:.2f} on held-out ones; near 0 prompts are ignored.",
    ]
    if "heldout_top1_of_seen_words" in right:
        said.append(
            f"{right['heldout_prompts_of_seen_words']} of the held-out prompts have only words "
            f"that training had, too: of these {right['heldout_top1_of_seen_words']:.0%} are right."
        )
    if right["heldout_prompts_word_for_word_in_training"]:
        said.append(
            f"{right['heldout_prompts_word_for_word_in_training']} of the held-out pictures have a "
            "caption that a picture of training has, too, word for word."
        )
    if "checks" in summary:
        said += quickstart_checks.sentences(summary["checks"])
    return said


def of_tokenizer(tokenizer: Mapping[str, float]) -> str:
    """What report.json says of the first stage."""
    return (
        f"The tokenizer gives training pictures back at {tokenizer['psnr']:.1f} dB and held-out "
        f"ones at {tokenizer['heldout_psnr']:.1f} dB (PSNR: more is better); "
        f"{tokenizer['codebook_usage']:.0%} of its codes are in use."
    )


def write_samples(path: Path, spoken: Spoken, seed: int, columns: int = 8, most: int = 24) -> None:
    """A sheet of at most `most` prompts: real picture, sample, prompt, `columns` a row.

    Held-out ones; where some of these have words that training had not, seen ones before them. The
    file says what draws the samples again: `prompts`, `seed` and `settings`.
    """
    columns = min(columns, len(spoken.heldout.samples))
    parts = [(spoken.heldout, most, "")]
    if not _of_seen_words(spoken.heldout):
        parts = [(spoken.seen, most - columns, ""), (spoken.heldout, columns, " (held out)")]
    pairs, prompts, captions = [], [], []
    for drawn, share, mark in parts:
        count = min(share, len(drawn.samples))
        for index in _spread(drawn, count // columns * columns):
            pairs.append([drawn.columns["image"][index], drawn.samples[index]])
            prompts.append(str(drawn.columns["caption"][index]))
            captions.append(prompts[-1] + mark)
    settings = {"guidance_weight": 1.0, "temperature": 1.0, "cutoff": CUTOFF}
    said = {"prompts": json.dumps(prompts), "seed": str(seed), "settings": json.dumps(settings)}
    write_captioned(path, np.stack(pairs)[:, :, None], captions, columns=columns, said=said)


def _of_seen_words(heldout: Drawn) -> bool:
    """Whether nine of ten held-out prompts say what training could tell of."""
    return bool(heldout.known.mean() >= 0.9)


def _spread(drawn: Drawn, count: int) -> np.ndarray:
    """Indices of `count` prompts at even distances: all styles and roles of the held-out ones."""
    return np.linspace(0, len(drawn.samples) - 1, count).astype(int)


def _drawn(drawn: Drawn, most: int) -> document.Html:
    shown = []
    for index in _spread(drawn, min(most, len(drawn.samples))):
        pair = [("real", drawn.columns["image"][index]), ("drawn", drawn.samples[index])]
        mark = "" if drawn.cell_top1[index] else "Nearest to another real picture."
        shown.append(Shown(str(drawn.columns["caption"][index]), pair, mark))
    return join(paragraph("One sample a prompt, none picked."), gallery(shown))
