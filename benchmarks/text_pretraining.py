"""Does it help that the text encoder has read before: `python -m benchmarks.text_pretraining DIR`.

The quickstart's 360 pictures of people, tokens made beforehand by one tokenizer. Per seed: text
encoders trained on masked tokens, on pictures (contrastive), on both, and as CoCa's text tower;
then text-to-image runs of equal steps from scratch and from each of them. Writes DIR/ARM_SEED.json
with held-out loss, and how many prompts of each kind are drawn right; a run that is in DIR is not
made again. `python -m benchmarks.text_pretraining_table DIR` prints the table and draws the plot.
"""

import argparse
import dataclasses
import functools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.text_pretraining_words import LANGUAGES, Prompts, Words, make_prompts, read_words

ARMS = ("scratch", "masked", "contrastive", "both", "coca")
VOCABULARY, LENGTH = 2048, 32
SIZES: Mapping[str, Any] = {
    "d_model": 128,
    "num_heads": 4,
    "mlp_dim": 512,
    "dropout_rate": 0.0,
    "dtype": "float32",
}
TEXT: Mapping[str, Any] = {"text_vocab_size": VOCABULARY, "text_length": LENGTH}
ENCODER = {**TEXT, "encoder_layers": 2, "head_dim": 32, **SIZES}
Batches = Iterator[dict[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Data:
    """What all runs share.

    Attributes:
      gallery: the training pictures, then the held-out ones.
      tokens: image tokens of the gallery.
      texts: captions of the gallery in English, in the other languages, and with tags, as tokens.
      lines: what masked tokens are read of: kind -> tokens.
      prompts: kind -> texts, and what they ask for.
    """

    train: Mapping[str, np.ndarray]
    gallery: Any
    codec: Any
    tokens: np.ndarray
    texts: np.ndarray
    lines: Mapping[str, np.ndarray]
    prompts: Mapping[str, Prompts]
    encode: Callable[[list[str]], np.ndarray]


def load(directory: Path) -> Data:
    """Reads pictures and words; makes the vocabulary where there is none."""
    from babeldraw.cli.support.runs import open_run
    from babeldraw.data.streams.pipeline import Dataset
    from babeldraw.data.vocabulary import load_vocabulary, train_vocabulary
    from babeldraw.evaluation.retrieval import Gallery
    from babeldraw.pieces import encode as encode_prompts

    lengths = {"text": 16, "image": 32}
    train, heldout = (
        Dataset("emoji_quickstart_32", lengths, split).examples()
        for split in ("train", "heldout_people")
    )
    columns = {key: np.concatenate([train[key], heldout[key]]) for key in train}
    words = read_words(columns)
    captions = [
        words.captions(*cell) for cell in zip(columns["concept"], columns["style"], strict=True)
    ]
    lines = _lines(words, captions)
    file = directory / "vocabulary.model"
    if not file.exists():
        every = [line for kind in lines.values() for line in kind]
        train_vocabulary(every, file, VOCABULARY)
    vocabulary = load_vocabulary(file)

    def encode(texts: list[str]) -> np.ndarray:
        return encode_prompts(texts, vocabulary, LENGTH)

    codec = open_run(str(directory / "tokenizer")).codec(48)
    prompts = make_prompts(words, train, 96)
    rows = len(train["image"]) + np.arange(len(heldout["image"]))
    prompts["heldout"] = Prompts([captions[row][0] for row in rows], rows)
    return Data(
        train,
        Gallery(columns["image"], columns["concept"], columns["style"]),
        codec,
        codec.encode(columns["image"]),
        np.stack([encode(each) for each in captions]),
        {kind: encode(texts) for kind, texts in lines.items()},
        prompts,
        encode,
    )


def _lines(words: Words, captions: list[list[str]]) -> dict[str, list[str]]:
    concepts = list(words.tags)
    return {
        "captions": [text for each in captions for text in each[:-1]],
        "parallel": [words.parallel(concept, of) for concept in concepts for of in LANGUAGES],
        "tags": [each[-1] for each in captions],
    }


def objective_of(arm: str, data: Data, steps: int) -> Any:
    """What an arm minimises; `scratch` stands for stage 2."""
    from babeldraw.models.coca import CoCa
    from babeldraw.models.encoder_decoder import EncoderDecoder
    from babeldraw.models.picture_encoder import TokenPictureEncoder
    from babeldraw.models.text_pretraining import TextPretraining
    from babeldraw.objectives.coca import ContrastiveCaptioner
    from babeldraw.objectives.text_encoder import TextEncoding
    from babeldraw.objectives.text_encoder_tokens import TextEncodingOnTokens
    from babeldraw.objectives.text_to_image import TextToImage
    from babeldraw.optimizers.config import Adam
    from babeldraw.optimizers.schedules import warmup_cosine
    from babeldraw.parallel.execution import Execution

    def adam(peak: float) -> Adam:
        rate = warmup_cosine(peak=peak, warmup_steps=min(50, steps // 4), total_steps=steps)
        return Adam(learning_rate=rate, b2=0.99, clip_norm=1.0)

    grid = {"codebook_size": data.codec.model.codebook_size, "rows": 8, "columns": 8}
    tokens: dict[str, Any] = {
        "tokenizer": data.codec.model,
        "tokenizer_params": lambda: data.codec.params,
        "tokens_beforehand": True,
    }
    objective: Any
    if arm == "scratch":
        stage_2 = EncoderDecoder(
            **grid, **ENCODER, decoder_layers=4, attention_kernel=None, decoder_inputs="row_start"
        )
        objective = TextToImage(
            model=stage_2,
            optimizer=adam(3e-3),
            prompt_dropout_rate=0.1,
            token_noise_rate=0.15,
            **tokens,
        )
    elif arm == "coca":
        layers = {"image_layers": 2, "text_layers": 2, "multimodal_layers": 1}
        model = CoCa(image_size=32, patch_size=8, num_queries=8, **layers, **TEXT, **SIZES)
        objective = ContrastiveCaptioner(model=model, optimizer=adam(2e-3))
    elif arm == "masked":
        objective = TextEncoding(model=TextPretraining(**ENCODER), optimizer=adam(2e-3))
    else:
        pictures = TokenPictureEncoder(**grid, image_layers=1, **SIZES)
        masked = arm == "both"
        objective = TextEncodingOnTokens(
            model=TextPretraining(**ENCODER, masked=masked, pictures=pictures),
            optimizer=adam(2e-3),
            masked_weight=float(masked),
            contrastive_weight=1.0,
            texts_apart=masked,
            **tokens,
        )
    return objective.with_execution(Execution(unroll=True))


def batches_of(arm: str, data: Data, seed: int) -> Batches:
    """Pairs of training pictures, each in a language drawn anew; and lines. Stage 2: in English."""
    rng = np.random.default_rng(seed)
    count, rows = len(data.train["image"]), 16 if arm == "scratch" else 32
    while True:
        chosen = rng.permutation(count)[:rows]
        drawn = rng.integers(data.texts.shape[1], size=rows) if arm != "scratch" else 0
        batch = {"text_tokens": data.texts[chosen, drawn], "image_tokens": data.tokens[chosen]}
        if arm == "coca":
            batch["image"] = data.gallery.images[chosen]
            batch.pop("image_tokens")
        if arm in ("masked", "both"):
            kinds = rng.choice(["captions", "parallel", "tags"], rows, p=[0.4, 0.5, 0.1])
            lines = [data.lines[kind][rng.integers(len(data.lines[kind]))] for kind in kinds]
            name = "masked_tokens" if arm == "both" else "text_tokens"
            batch = {**(batch if arm == "both" else {}), name: np.stack(lines)}
        yield batch


@functools.cache
def _step_of(arm: str, data_id: int, steps: int) -> tuple[Any, Any]:
    import jax

    from babeldraw.training.step import make_train_step

    objective = objective_of(arm, _DATA[data_id], steps)
    return objective, jax.jit(make_train_step(objective), donate_argnums=0)


_DATA: dict[int, Data] = {}


def fit(
    arm: str, data: Data, steps: int, seed: int, begin: Mapping[str, Any] | None = None
) -> tuple[Any, Any, float]:
    """Takes the steps; gives the objective, its parameters, and seconds. One program for all seeds.

    Args:
      begin: parameters in the place of fresh ones.
    """
    import jax

    from babeldraw.training.state import init_state

    _DATA[id(data)] = data
    objective, step = _step_of(arm, id(data), steps)
    (name,) = objective.abstract_params
    state = jax.jit(
        lambda: init_state(objective, seed, lambda fresh: {name: {**fresh[name], **(begin or {})}})
    )()
    began, metrics = time.perf_counter(), {}
    batches = batches_of(arm, data, seed)
    for number in range(1, steps + 1):
        state, metrics = step(state, {}, next(batches))
        if number % 50 == 0 or number == steps:
            told = " ".join(f"{key} {float(value):.3f}" for key, value in metrics.items())
            print(f"{arm} {seed} step {number}/{steps} | {told}", flush=True)
    return objective, jax.device_get(state.params[name]), time.perf_counter() - began


def text_encoder(params: Mapping[str, Any]) -> dict[str, Any]:
    """The subtree that stage 2 has too; of CoCa, what is in its place (docs/text_encoder.md)."""
    from babeldraw.models.text_encoder import PARAMETERS

    there = {"encoder": "text_decoder", "encoder_norm": "text_norm"}
    of_coca = "text_decoder" in params
    return {name: params[there.get(name, name) if of_coca else name] for name in PARAMETERS}


def score(objective: Any, params: Any, data: Data, seed: int) -> dict[str, Any]:
    """Held-out loss in nats a token, and which prompts of each kind are drawn right."""
    from babeldraw.evaluation.quickstart import CUTOFF, loss_and_gap
    from babeldraw.evaluation.retrieval import top1
    from babeldraw.sampling.pictures import Sampler

    networks = data.codec.model, data.codec.params
    sampler = Sampler(objective.model, params, *networks, cutoff=CUTOFF, batch_size=48)
    count = len(data.train["image"])
    loss, gap = loss_and_gap(sampler, data.texts[count:, 0], data.tokens[count:])
    found: dict[str, Any] = {"heldout_loss": loss, "heldout_gap": gap}
    for kind, prompts in data.prompts.items():
        images = sampler(data.encode(list(prompts.texts)), seed=seed)[:, 0]
        concept, cell = top1(images, prompts.rows, data.gallery)
        found[kind] = {"n": len(concept), "right": int(concept.sum()), "cell": int(cell.sum())}
    return found


def save(path: Path, params: Any) -> None:
    """Parameters as .npz, by name."""
    from babeldraw.training.keeping.checkpoint_files import by_name

    partial = path.with_suffix(".partial.npz")
    np.savez(partial, **by_name(params))
    partial.replace(path)


def restore(path: Path) -> dict[str, Any]:
    """What `save` wrote."""
    tree: dict[str, Any] = {}
    with np.load(path) as file:
        for name in file:
            *folders, last = name.split("/")
            at = tree
            for folder in folders:
                at = at.setdefault(folder, {})
            at[last] = file[name]
    return tree


def main(argv: list[str] | None = None) -> None:
    """Makes the runs that are not there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, help="has a tokenizer run, `tokenizer`")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300, help="of stage 2")
    parser.add_argument("--pretraining_steps", type=int, default=300)
    args = parser.parse_args(argv)
    from babeldraw.cli.support.compiled import keep_programs

    keep_programs()
    data = load(args.directory)
    for seed in range(args.seeds):
        for arm in ARMS:
            result = args.directory / f"{arm}_{seed}.json"
            if result.exists():
                continue
            kept, begin, seconds = args.directory / f"{arm}_{seed}.npz", None, 0.0
            if arm != "scratch":
                if not kept.exists():
                    _, params, seconds = fit(arm, data, args.pretraining_steps, seed)
                    save(kept, params)
                begin = text_encoder(restore(kept))
            objective, params, taken = fit("scratch", data, args.steps, seed, begin)
            save(args.directory / f"stage_2_{arm}_{seed}.npz", params)
            found = score(objective, params, data, seed)
            found |= {"pretraining_seconds": seconds, "seconds": taken, **vars(args)}
            found["directory"] = str(args.directory)
            partial = result.with_suffix(".partial")
            partial.write_text(json.dumps(found, indent=2) + "\n")
            os.replace(partial, result)
            print(result.name, found, flush=True)


if __name__ == "__main__":
    main()
