"""What the quickstart learned: reconstruction, sampling of seen and of held-out prompts, a report.

Every number is over whole splits or a seeded random draw; no sample is picked.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from babeldraw.evaluation import report
from babeldraw.evaluation.retrieval import Gallery, Pictures, top1
from babeldraw.objectives import losses
from babeldraw.sampling.codec import Codec
from babeldraw.sampling.pictures import Sampler
from babeldraw.training.watching.pictures import write_grid

SEEN_PROMPTS = 192
"""How many seen prompts are drawn for the score; of the held-out ones, all."""

CUTOFF = 0.1
"""Codes less probable than this share of the best one are not drawn: they show as specks."""

Columns = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Prompts of one split with one sample each: columns of the split, `samples`, and scores."""

    columns: Columns
    samples: np.ndarray
    concept_top1: np.ndarray
    cell_top1: np.ndarray


@dataclasses.dataclass(frozen=True)
class Results:
    """Everything that the report shows."""

    psnr: float
    heldout_psnr: float
    token_counts: np.ndarray
    loss: float
    heldout_loss: float
    seen: Drawn
    heldout: Drawn
    reconstructions: np.ndarray
    parameters: Mapping[str, int]


def evaluate(
    sampler: Sampler,
    codec: Codec,
    train: Columns,
    heldout: Columns,
    seed: int,
) -> Results:
    """Scores both stages on the training split and on the cells held out of it.

    Args:
      sampler: of the second stage, with `CUTOFF` or another one.
      codec: the first stage.
      train, heldout: whole splits as `data.pipeline.Dataset.examples` gives them.
    """
    gallery = Gallery(
        np.concatenate([train["image"], heldout["image"]]),
        np.concatenate([train["concept"], heldout["concept"]]),
        np.concatenate([train["style"], heldout["style"]]),
    )
    train_tokens, heldout_tokens = map(codec.encode, (train["image"], heldout["image"]))
    train_decoded, heldout_decoded = map(codec.decode, (train_tokens, heldout_tokens))
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(train["image"]))[:SEEN_PROMPTS]
    shown = rng.permutation(len(heldout["image"]))[:12]
    codebook_size = codec.model.codebook_size
    return Results(
        psnr=psnr(train["image"], train_decoded),
        heldout_psnr=psnr(heldout["image"], heldout_decoded),
        token_counts=np.bincount(train_tokens.ravel(), minlength=codebook_size),
        loss=cross_entropy(sampler, train["text_tokens"], train_tokens),
        heldout_loss=cross_entropy(sampler, heldout["text_tokens"], heldout_tokens),
        seen=_draw(sampler, train, chosen, chosen, gallery, seed),
        heldout=_draw(
            sampler,
            heldout,
            np.arange(len(heldout["image"])),
            len(train["image"]) + np.arange(len(heldout["image"])),
            gallery,
            seed,
        ),
        reconstructions=np.stack([heldout["image"][shown], heldout_decoded[shown]], axis=1),
        parameters={
            "tokenizer": _count(codec.params),
            "text_to_image": _count(sampler.params),
        },
    )


def psnr(images: Pictures, decoded: Pictures) -> float:
    """PSNR in dB from the mean square error over all pictures of a split."""
    error = (images.astype(np.float32) - decoded.astype(np.float32)) / 255
    return float(-10 * np.log10(np.mean(np.square(error))))


def cross_entropy(
    sampler: Sampler, text: Int[np.ndarray, "n text"], tokens: Int[np.ndarray, "n tokens"]
) -> float:
    """Mean over a split, in nats a token, without dropout."""
    variables = {"params": jax.device_put(sampler.params)}

    @jax.jit
    def loss(text: jax.Array, tokens: jax.Array) -> jax.Array:
        return losses.token_cross_entropy(sampler.model.apply(variables, text, tokens), tokens)

    pairs = list(zip(_parts(text), _parts(tokens), strict=True))
    return float(sum(len(t) * float(loss(t, i)) for t, i in pairs) / len(text))


def summary(results: Results, seconds: Mapping[str, float]) -> dict[str, Any]:
    """`report.json`. `seconds` are those of each part of this call, and their `total`."""
    share = results.token_counts / results.token_counts.sum()
    entropy = -np.sum(share[share > 0] * np.log(share[share > 0]))
    return {
        "wall_seconds": round(seconds["total"], 1),
        "seconds": {name: round(value, 1) for name, value in seconds.items() if name != "total"},
        "tokenizer": {
            "psnr": round(results.psnr, 2),
            "heldout_psnr": round(results.heldout_psnr, 2),
            "codebook_usage": round(float(np.mean(results.token_counts > 0)), 4),
            "perplexity": round(float(np.exp(entropy)), 1),
        },
        "text_to_image": {
            "loss": round(results.loss, 4),
            "heldout_loss": round(results.heldout_loss, 4),
        },
        "retrieval": {
            "train_top1": round(float(results.seen.concept_top1.mean()), 4),
            "train_cell_top1": round(float(results.seen.cell_top1.mean()), 4),
            "heldout_top1": round(float(results.heldout.concept_top1.mean()), 4),
            "heldout_cell_top1": round(float(results.heldout.cell_top1.mean()), 4),
            "train_prompts": len(results.seen.samples),
            "heldout_prompts": len(results.heldout.samples),
        },
        "parameters": dict(results.parameters),
    }


def page(summary: Mapping[str, Any], results: Results, model_dirs: Mapping[str, Path]) -> str:
    """`report.html`."""
    tokenizer = report.read_metrics(model_dirs["tokenizer"])
    text_to_image = report.read_metrics(model_dirs["text_to_image"])
    counts = np.sort(results.token_counts)[::-1]
    flat: dict[str, Any] = {}
    for group, values in summary.items():
        if isinstance(values, Mapping):
            flat |= {f"{group}.{name}": value for name, value in values.items()}
        else:
            flat[group] = values
    return report.page(
        "Babeldraw quickstart",
        [
            ("Figures", report.table(flat)),
            (
                "Prompts never seen in training: real picture, sample",
                "<p>The role, the gender, the skin tone and the style were each seen, this "
                "combination of role, gender and tone in no style. One sample a prompt, not "
                "picked; red: nearest to another real picture.</p>" + _figures(results.heldout, 48),
            ),
            ("Prompts seen in training: real picture, sample", _figures(results.seen, 24)),
            (
                "Held-out pictures through the tokenizer: real, reconstruction",
                report.captioned(results.reconstructions, [""] * len(results.reconstructions)),
            ),
            (
                "Curves",
                report.curve(tokenizer, "psnr", "tokenizer: PSNR (dB)")
                + report.curve(tokenizer, "perplexity", "tokenizer: codebook perplexity of a batch")
                + report.curve(text_to_image, "loss", "text to image: nats a token")
                + report.bars(counts, "codebook use on the training split", "code, by use"),
            ),
        ],
    )


def write_samples(path: Path, results: Results, columns: int = 8) -> None:
    """`samples.png`: held-out prompts, real pictures above their samples, `columns` a row."""
    rows = []
    per_style = _spread(results.heldout, columns * 3)
    for start in range(0, len(per_style), columns):
        part = per_style[start : start + columns]
        rows += [results.heldout.columns["image"][part], results.heldout.samples[part]]
    write_grid(path, np.stack(rows))


def _spread(drawn: Drawn, count: int) -> np.ndarray:
    """Indices of `count` prompts at even distances: all styles and roles of the held-out ones."""
    return np.linspace(0, len(drawn.samples) - 1, count).astype(int)


def _figures(drawn: Drawn, count: int) -> str:
    indices = _spread(drawn, min(count, len(drawn.samples)))
    return report.captioned(
        np.stack([drawn.columns["image"][indices], drawn.samples[indices]], axis=1),
        [str(caption) for caption in drawn.columns["caption"][indices]],
        [bool(right) for right in drawn.cell_top1[indices]],
    )


def _draw(
    sampler: Sampler,
    split: Columns,
    rows: np.ndarray,
    gallery_rows: np.ndarray,
    gallery: Gallery,
    seed: int,
) -> Drawn:
    """One sample of each prompt in `rows` of a split; `gallery_rows` are their real pictures."""
    columns = {name: column[rows] for name, column in split.items()}
    samples = sampler(columns["text_tokens"], seed=seed)[:, 0]
    return Drawn(columns, samples, *top1(samples, gallery_rows, gallery))


def _parts(array: np.ndarray, size: int = 64) -> list[np.ndarray]:
    return [array[start : start + size] for start in range(0, len(array), size)]


def _count(params: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))
