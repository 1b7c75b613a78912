"""What the quickstart learned: reconstruction, and sampling of seen and of held-out prompts.

Every number is over whole splits or a seeded random draw; no sample is picked.
"""

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from babeldraw.evaluation import quickstart_checks
from babeldraw.evaluation.retrieval import Gallery, Pictures, top1
from babeldraw.objectives import losses
from babeldraw.sampling.codec import Codec
from babeldraw.sampling.pictures import Sampler

CUTOFF = 0.1
"""Codes less probable than this share of the best one are not drawn: they show as specks."""

SEEN_PROMPTS = 192
"""How many seen prompts are drawn for the score."""

HELDOUT_PROMPTS = 192
"""How many held-out prompts are drawn at most."""

COMPARED = 4096
"""Pictures of a split that samples are compared with at most, the first ones."""

SCORED = 1024
"""Of these, as many go through the tokenizer and have their loss taken at most, the first ones."""

Columns = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Prompts of one split with one sample each: columns of the split, `samples`, and scores.

    Attributes:
      concept_top1, cell_top1: see `retrieval.top1`; one's own pictures have captions in the place
        of concepts, and no styles.
      known: prompts whose words all stand in captions of training.
      repeated: prompts that are captions of training, word for word.
    """

    columns: Columns
    samples: np.ndarray
    concept_top1: np.ndarray
    cell_top1: np.ndarray
    known: np.ndarray
    repeated: np.ndarray


@dataclasses.dataclass(frozen=True)
class Tokenized:
    """What the first stage learned, on the training split and on pictures held out of it.

    Attributes:
      token_counts: of each code on the training split.
      tokens, heldout_tokens: of each picture.
      heldout_rebuilt: what is left of each held-out picture.
      reconstructions: some held-out pictures, each with what is left of it.
    """

    psnr: float
    heldout_psnr: float
    token_counts: np.ndarray
    tokens: np.ndarray
    heldout_tokens: np.ndarray
    heldout_rebuilt: np.ndarray
    reconstructions: np.ndarray
    parameters: int


@dataclasses.dataclass(frozen=True)
class Spoken:
    """What the second stage learned.

    Attributes:
      loss, heldout_loss: nats a token.
      gap, heldout_gap: by how much the loss is larger where the prompt is not told.
    """

    loss: float
    heldout_loss: float
    gap: float
    heldout_gap: float
    seen: Drawn
    heldout: Drawn
    parameters: int


@dataclasses.dataclass(frozen=True)
class Results:
    """Everything that the report shows; `spoken` is missing where no texts were learned.

    Attributes:
      checks: of emoji; see quickstart_checks.py.
    """

    tokenized: Tokenized
    spoken: Spoken | None
    checks: quickstart_checks.Shares = dataclasses.field(default_factory=dict)


def evaluate(
    codec: Codec,
    sampler: Sampler | None,
    train: Columns,
    heldout: Columns,
    captions: Iterable[str],
    seed: int,
) -> Results:
    """Scores both stages on the training split and on what is held out of it.

    Args:
      codec: the first stage.
      sampler: of the second stage, if there is one.
      train, heldout: splits as `data.pipeline.Dataset.examples` gives them.
      captions: all of training.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(train["image"]))[:SEEN_PROMPTS]
    shown = rng.permutation(len(heldout["image"][:SCORED]))[:12]
    tokenized = through_tokenizer(codec, train["image"][:SCORED], heldout["image"][:SCORED], shown)
    if sampler is None:
        return Results(tokenized, None)
    gallery = Gallery(
        np.concatenate([train["image"], heldout["image"]]),
        np.concatenate([_concepts(train), _concepts(heldout)]),
        np.concatenate([_styles(train), _styles(heldout)]),
    )
    texts = {tuple(_words(caption)) for caption in captions}
    loss, gap = loss_and_gap(sampler, train["text_tokens"][:SCORED], tokenized.tokens)
    heldout_loss, heldout_gap = loss_and_gap(
        sampler, heldout["text_tokens"][:SCORED], tokenized.heldout_tokens
    )
    asked = np.arange(len(heldout["image"]))
    if len(asked) > HELDOUT_PROMPTS:
        asked = np.sort(rng.permutation(asked)[:HELDOUT_PROMPTS])
    spoken = Spoken(
        loss,
        heldout_loss,
        gap,
        heldout_gap,
        seen=_draw(sampler, train, chosen, chosen, gallery, texts, seed),
        heldout=_draw(sampler, heldout, asked, len(train["image"]) + asked, gallery, texts, seed),
        parameters=count(sampler.params),
    )
    rebuilt = tokenized.heldout_rebuilt
    checks = quickstart_checks.shares(
        {
            "seen": (spoken.seen.samples, spoken.seen.columns["caption"].tolist()),
            "heldout": (spoken.heldout.samples, spoken.heldout.columns["caption"].tolist()),
            quickstart_checks.CEILING: (rebuilt, heldout["caption"][: len(rebuilt)].tolist()),
        }
    )
    return Results(tokenized, spoken, checks)


def through_tokenizer(
    codec: Codec, train: Pictures, heldout: Pictures, shown: np.ndarray
) -> Tokenized:
    """What the first stage makes of both splits; `shown` are held-out pictures to look at."""
    tokens, heldout_tokens = map(codec.encode, (train, heldout))
    decoded, heldout_decoded = map(codec.decode, (tokens, heldout_tokens))
    return Tokenized(
        psnr=psnr(train, decoded),
        heldout_psnr=psnr(heldout, heldout_decoded),
        token_counts=np.bincount(tokens.ravel(), minlength=codec.model.codebook_size),
        tokens=tokens,
        heldout_tokens=heldout_tokens,
        heldout_rebuilt=heldout_decoded,
        reconstructions=np.stack([heldout[shown], heldout_decoded[shown]], axis=1),
        parameters=count(codec.params),
    )


def _concepts(split: Columns) -> np.ndarray:
    """What each picture shows: of one's own pictures the caption says it."""
    return split["concept"] if "concept" in split else split["caption"]


def _styles(split: Columns) -> np.ndarray:
    return split["style"] if "style" in split else np.zeros(len(split["image"]), np.int32)


def _words(caption: str) -> list[str]:
    return re.findall(r"\w+", caption.lower())


def psnr(images: Pictures, decoded: Pictures) -> float:
    """PSNR in dB from the mean square error over all pictures of a split."""
    error = (images.astype(np.float32) - decoded.astype(np.float32)) / 255
    return float(-10 * np.log10(np.mean(np.square(error))))


def loss_and_gap(
    sampler: Sampler, text: Int[np.ndarray, "n text"], tokens: Int[np.ndarray, "n tokens"]
) -> tuple[float, float]:
    """Means over a split in nats a token, without dropout: the loss, and the prompt gap.

    The gap is by how much the loss is larger with an empty prompt.
    """
    variables = {"params": jax.device_put(sampler.params)}
    mean = mean_loss(lambda text, tokens: sampler.model.apply(variables, text, tokens))
    with_prompt = mean(text, tokens)
    return with_prompt, mean(np.zeros_like(text), tokens) - with_prompt


def mean_loss(
    logits: Callable[[jax.Array, jax.Array], jax.Array],
) -> Callable[[np.ndarray, np.ndarray], float]:
    """What gives the mean loss in nats a token over a split: of what is asked for, and tokens.

    Args:
      logits: of some rows of both.
    """

    @jax.jit
    def loss(asked: jax.Array, tokens: jax.Array) -> jax.Array:
        return losses.token_cross_entropy(logits(asked, tokens), tokens)

    def mean(asked: np.ndarray, tokens: np.ndarray) -> float:
        pairs = zip(_parts(asked), _parts(tokens), strict=True)
        return float(sum(len(a) * float(loss(a, t)) for a, t in pairs) / len(asked))

    return mean


def summary(results: Results, seconds: Mapping[str, float]) -> dict[str, Any]:
    """`report.json`. `seconds` are those of each part of this call, and their `total`."""
    spoken = results.spoken
    found = summary_of_tokenizer(results.tokenized, seconds)
    if spoken is None:
        return found
    found["text_to_image"] = {
        "loss": round(spoken.loss, 4),
        "heldout_loss": round(spoken.heldout_loss, 4),
        "prompt_gap": round(spoken.gap, 4),
        "heldout_prompt_gap": round(spoken.heldout_gap, 4),
    }
    known = spoken.heldout.known
    found["retrieval"] = {
        "train_top1": _mean(spoken.seen.concept_top1),
        "train_cell_top1": _mean(spoken.seen.cell_top1),
        "heldout_top1": _mean(spoken.heldout.concept_top1),
        "heldout_cell_top1": _mean(spoken.heldout.cell_top1),
        "train_prompts": len(spoken.seen.samples),
        "heldout_prompts": len(spoken.heldout.samples),
        "heldout_prompts_of_seen_words": int(known.sum()),
        "heldout_prompts_word_for_word_in_training": int(spoken.heldout.repeated.sum()),
    }
    if known.any():
        of_seen_words = _mean(spoken.heldout.concept_top1[known])
        found["retrieval"]["heldout_top1_of_seen_words"] = of_seen_words
    if results.checks:
        found["checks"] = dict(results.checks)
    found["parameters"]["text_to_image"] = spoken.parameters
    return found


def summary_of_tokenizer(tokenized: Tokenized, seconds: Mapping[str, float]) -> dict[str, Any]:
    """What `report.json` says of the first stage, and of the time."""
    share = tokenized.token_counts / tokenized.token_counts.sum()
    entropy = -np.sum(share[share > 0] * np.log(share[share > 0]))
    return {
        "wall_seconds": round(seconds["total"], 1),
        "seconds": {name: round(value, 1) for name, value in seconds.items() if name != "total"},
        "tokenizer": {
            "psnr": round(tokenized.psnr, 2),
            "heldout_psnr": round(tokenized.heldout_psnr, 2),
            "codebook_usage": round(float(np.mean(tokenized.token_counts > 0)), 4),
            "perplexity": round(float(np.exp(entropy)), 1),
        },
        "parameters": {"tokenizer": tokenized.parameters},
    }


def _mean(scores: np.ndarray) -> float:
    return round(float(scores.mean()), 4)


def _draw(
    sampler: Sampler,
    split: Columns,
    rows: np.ndarray,
    gallery_rows: np.ndarray,
    gallery: Gallery,
    texts: Set[tuple[str, ...]],
    seed: int,
) -> Drawn:
    """One sample of each prompt in `rows` of a split; `gallery_rows` are their real pictures."""
    columns = {name: column[rows] for name, column in split.items()}
    samples = sampler(columns["text_tokens"], seed=seed)[:, 0]
    words = set(itertools.chain.from_iterable(texts))
    asked = [tuple(_words(caption)) for caption in columns["caption"]]
    known = np.array([words.issuperset(text) for text in asked])
    repeated = np.array([text in texts for text in asked])
    return Drawn(columns, samples, *top1(samples, gallery_rows, gallery), known, repeated)


def _parts(array: np.ndarray, size: int = 64) -> list[np.ndarray]:
    return [array[start : start + size] for start in range(0, len(array), size)]


def count(params: Any) -> int:
    """Numbers in a network's parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
