"""What `babeldraw finetune` puts together: own pictures, and pictures of before."""

import argparse
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babeldraw.errors import UserError
from babeldraw.files import mark_output, path

if TYPE_CHECKING:
    from babeldraw.cli.support.runs import Run
    from babeldraw.data.raw import RawExample

PRIORS = ("data", "drawn", "none")
"""From where pictures of what the model knew come: the run's own data, the model, or nowhere."""

OWN_SHARE = 0.5
"""Of the new pictures in each batch."""

COPIED = 2000
"""Own pictures at most that are copied with the new word in their captions."""

DRAWN = 160
"""Pictures that the model draws of its own prompts, where its data are gone."""

DRAWN_CUTOFF = 0.1

LOOKED_AT = 48
"""Pictures that are sent through the tokenizer to say how well it keeps them."""

WORSE, FAIR = 3.0, 20.0
"""dB by which own pictures come back worse, or that they come back at, before it is said."""


@dataclasses.dataclass(frozen=True)
class Mixed:
    """What is trained on.

    Attributes:
      task: the mixture.
      own: the task of the new pictures.
      before: the task that the run was trained on, if it is part of the mixture.
      evaluated: the task and the split by which forgetting is watched; None: nothing.
      sentences: what was found, and what stands in for what.
    """

    task: str
    own: str
    before: str | None
    evaluated: tuple[str, str] | None
    sentences: Sequence[str]


def mix(args: argparse.Namespace, run: "Run", output: Path) -> Mixed:
    """Copies the own pictures with the word, draws those of before where it has to.

    Raises:
      UserError: there are no own pictures, no captions and no word, or no data of before where
        they are asked for.
    """
    before = run.train_dataset
    reason = _why_gone(run)
    kind = args.prior or ("data" if reason is None else "drawn")
    if kind == "data" and reason is not None:
        raise UserError(
            f"--prior data needs what {run.model_dir} was trained on, and {reason.rstrip('.')}; "
            "bring it back, or give --prior drawn."
        )
    prompts = _prompts(run) if kind == "drawn" else []
    own, sentences = _own(args, run, output / "own")  # Before this, nothing is written.
    known = before.mixture_or_task_name if kind == "data" else None
    evaluated = None
    if reason is None and run.eval_dataset is not None:
        evaluated = (run.eval_dataset.mixture_or_task_name, run.eval_dataset.split)
    if kind == "none":
        sentences.append("no pictures of before among them: expect it to forget")
        return Mixed(own, own, known, evaluated, sentences)
    prior = before.mixture_or_task_name
    if kind == "drawn":
        why = f" ({reason})" if args.prior is None else ""
        draw_prior(run, prompts, output / "prior", args.seed)
        prior = f"folder:{output / 'prior'}"
        sentences.append(
            f"half of each batch: {len(prompts)} pictures that the model draws of its own prompts, "
            f"in {output / 'prior'}{why}"
        )
    else:
        sentences.append(f"half of each batch: what it was trained on before, {prior}")
    return Mixed(_mixture(own, prior), own, known, evaluated, sentences)


def _mixture(own: str, prior: str) -> str:
    """`OWN_SHARE` of the one, and the rest of the other, which may be a mixture itself."""
    from babeldraw.data.sources.names import split_mixture

    parts = split_mixture(prior) or [(prior, 1.0)]
    total = sum(rate for _, rate in parts)
    rest = [f"{name}:{(1 - OWN_SHARE) * rate / total:.6f}" for name, rate in parts]
    return "+".join([f"{own}:{OWN_SHARE}", *rest])


def _why_gone(run: "Run") -> str | None:
    """Why the data of a run cannot be read; None where they can."""
    if not run.train_dataset.mixture_or_task_name:
        return "the exported model came without its data"
    if run.objective.tokens_beforehand:  # type: ignore[attr-defined]  # It predicts tokens.
        return "its data are tokens, made beforehand"
    try:
        next(iter(run.train_dataset.batches()))
    except UserError as error:
        return str(error)
    return None


def _own(args: argparse.Namespace, run: "Run", folder: Path) -> tuple[str, list[str]]:
    from babeldraw.data import raw, tasks

    provider = tasks.find_task(args.data, "train", captioned=False)
    parts = [(task, split) for split in provider.splits for task in raw.subtasks(provider, split)]
    total = sum(task.source.num_input_examples(split) or 0 for task, split in parts)
    if total > COPIED:
        if args.word:
            raise UserError(
                f"{args.data} has {total:,} pictures, and --word copies {COPIED:,} at most: write "
                "the word into their captions, and leave --word out."
            )
        return args.data, [f"{total:,} pictures of {args.data}, with their captions"]
    examples = (e for task, split in parts for e in raw.raw_examples(task.source, split))
    captioned = list(_with_word(examples, args.word, args.data))
    if not captioned:
        raise UserError(
            f"No picture of {args.data} can be read: `babeldraw data inspect {args.data}` says why."
        )
    write_pictures(folder, captioned, run)
    first = captioned[0][1][0]
    return f"folder:{folder}", [
        f"{len(captioned)} pictures of {args.data}, all of them to train on, such as {first!r}"
    ]


def _with_word(
    examples: Iterator["RawExample"], word: str | None, task: str
) -> Iterator[tuple[Any, Sequence[str]]]:
    for example in examples:
        captions = [caption for caption in example.captions if caption.strip()]
        if word is None and not captions:
            raise UserError(
                f"{task} has pictures without captions ({example.name or 'the first'}), which say "
                "nothing to a model of texts: give --word, such as --word 'my cat'."
            )
        yield example.image, [add_word(caption, word) for caption in captions or [""]]


def add_word(caption: str, word: str | None) -> str:
    """The caption with the word at its end, unless it has it."""
    from babeldraw.training.keeping.prompts import words_of

    if not word:
        return caption
    if set(words_of(word)) <= set(words_of(caption)):
        return caption
    return f"{caption}, {word}" if caption.strip() else word


def write_pictures(
    folder: Path, captioned: Sequence[tuple[Any, Sequence[str]]], run: "Run"
) -> None:
    """`folder:` with all of the pictures to train on, and with the run's vocabulary.

    validation/ has the first once more: without such a folder, a fifth would be held out.
    """
    from PIL import Image

    from babeldraw.data.sources.names import VOCABULARY_NAME

    mark_output(path(folder), ours=True)
    for number, (image, captions) in enumerate(captioned):
        for split in ("train", "validation")[: 2 if number == 0 else 1]:
            (folder / split).mkdir(exist_ok=True)
            file = folder / split / f"{number:05d}.png"
            Image.fromarray(image).save(file)
            file.with_suffix(".txt").write_text("".join(f"{c}\n" for c in captions))
    vocabulary = Path(run.vocabulary.sentencepiece_model_file)
    (folder / VOCABULARY_NAME).write_bytes(vocabulary.read_bytes())


def _prompts(run: "Run") -> list[str]:
    """Some that the run was trained on."""
    from babeldraw.cli.support.known_prompts import known_to

    known = known_to(run)
    if known is None or not known.seen:
        raise UserError(
            f"{run.model_dir} keeps no prompts (prompts.json) of which pictures of before could be "
            "drawn; bring its data back, or give --prior none, and it forgets."
        )
    return list(known.seen)[:DRAWN]


def draw_prior(run: "Run", prompts: Sequence[str], folder: Path, seed: int) -> None:
    """Draws a picture of each prompt, and writes them as `write_pictures`."""
    from babeldraw.cli.support.prompts import encode_prompts

    sampler = run.sampler(cutoff=DRAWN_CUTOFF)
    text = encode_prompts(prompts, run.vocabulary, sampler.model)
    images = sampler(text, seed=seed)[:, 0]
    captioned = [(image, [text]) for image, text in zip(images, prompts, strict=True)]
    write_pictures(folder, captioned, run)


RATES = ("prompt_dropout_rate", "token_noise_rate", "picture_dropout_rate", "z_loss")
"""Of a text-to-image objective, with which its training goes on."""


def highest_rate(run: "Run") -> float | None:
    """The highest learning rate that it was trained at; None: a function of one's own says."""
    rate = run.settings["objective"]["optimizer"]["learning_rate"]
    peak = rate.get("peak") if isinstance(rate, Mapping) else rate
    return peak if isinstance(peak, float) else None


def feature_lengths(run: "Run") -> dict[str, Any]:
    """Of texts and pictures, as the run's networks read them."""
    settings = run.settings["objective"]
    size = settings["tokenizer"]["image_size"]
    return {
        "text": settings["model"]["text_length"],
        "image": tuple(size) if isinstance(size, list) else size,
    }


def what_the_tokenizer_keeps(run: "Run", mixed: Mixed, decoder: bool) -> str:
    """A sentence: how well own pictures go through the tokenizer, beside those of before.

    Args:
      decoder: whether its decoder is about to learn them.
    """
    from babeldraw.evaluation.quickstart import psnr

    codec = run.codec()
    found = []
    for task in (mixed.own, mixed.before):
        if task is not None:
            some = dataclasses.replace(
                run.train_dataset,
                mixture_or_task_name=task,
                task_feature_lengths=feature_lengths(run),
                batch_size=LOOKED_AT,
            )
            images = next(iter(some.batches()))["image"]
            found.append(psnr(images, codec.decode(codec.encode(images))))
    said = f"the tokenizer gives your pictures back at {found[0]:.1f} dB"
    if len(found) > 1:
        said += f", and at {found[1]:.1f} dB those that it was trained on"
    if decoder:
        return f"{said}; its decoder learns yours first, and the tokens stay as they are"
    if found[0] < (found[1] - WORSE if len(found) > 1 else FAIR):
        said += ", so that what is drawn is smeared: --decoder teaches its decoder yours"
    return said
