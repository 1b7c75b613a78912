"""Which prompts a run knows: some of them to print, and words of a prompt that it never met."""

import argparse
import dataclasses
import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from babeldraw.cli.support.exported import Exported
from babeldraw.cli.support.loras import words_of
from babeldraw.cli.support.terminal import printable
from babeldraw.errors import UserError
from babeldraw.files import path

if TYPE_CHECKING:
    from babeldraw.cli.support.runs import Run
    from babeldraw.models.image_decoder import ImageDecoder
    from babeldraw.training.keeping.prompts import Prompts

PRINTED = 12
"""Captions of each kind; the file has more."""
WORDS_NAMED = 5


def print_examples(args: argparse.Namespace) -> None:
    """Prints captions that the run was trained on, and some that were held out; or its classes.

    Raises:
      UserError: it keeps none, and its data are gone, too, or it reads neither.
    """
    from babeldraw.cli.support.models import open_model
    from babeldraw.training.keeping.prompts import NAME, collect

    opened = open_model(args.checkpoint, wanted="sampler")
    model = opened.image_model
    if model is not None and not model.condition_shape:
        _print_classes(opened, model)
        return
    known = known_to(opened)
    if known is None:  # A run of before.
        if isinstance(opened, Exported):
            raise UserError(f"{opened.model_dir} keeps no prompts; draw what you like.")
        known = collect(opened.train_dataset, opened.eval_dataset)
    if not known.seen:
        raise UserError(f"{opened.model_dir} was trained on data that tell no captions.")
    counted = f"{known.captions:,}" if known.all else f"more than {known.captions:,}"
    print(f"{opened.model_dir} was trained on {counted} captions, such as")
    _print(known.seen)
    if known.held_out:
        print("and never on these, which its evaluation has:")
        _print(known.held_out)
    if (path(opened.model_dir) / NAME).exists():
        print(f"More of them are in {opened.model_dir}/{NAME}.")
    print("Draw one:")
    prompt = known.seen[0].replace('"', "'")
    print(f'  babeldraw sample "{printable(prompt)}" --checkpoint {opened.model_dir}')


def _print_classes(opened: "Run | Exported", model: "ImageDecoder") -> None:
    from babeldraw.training.keeping import class_names

    if not model.num_classes:
        raise UserError(
            f"{opened.model_dir} was trained on pictures alone, and reads neither texts nor "
            "classes; draw with --unconditional."
        )
    names = class_names.read(path(opened.model_dir))
    print(f"{opened.model_dir} was trained on {model.num_classes:,} classes:")
    for number, name in enumerate(names):
        print(f"  {number} {printable(name)}")
    name = names[0].replace('"', "'") if names else "0"
    print("Draw one:")
    print(f'  babeldraw sample --class "{printable(name)}" --checkpoint {opened.model_dir}')


def known_to(opened: "Run | Exported") -> "Prompts | None":
    """What the run keeps of its captions, with the words of changes that are added to its model;
    None of one of before.

    Raises:
      UserError: the file is damaged.
    """
    from babeldraw.training.keeping.prompts import NAME, read_prompts

    directory = path(opened.model_dir)
    if not (directory / NAME).exists():
        return None
    known = read_prompts(directory)
    words = {**dict.fromkeys(words_of(opened.loras), 1), **known.words}
    return dataclasses.replace(known, words=words)


def unknown_words(texts: Sequence[str], known: "Prompts") -> str | None:
    """One sentence on the words of these texts that no caption had, with the closest that did."""
    unknown = list(dict.fromkeys(word for text in texts for word in known.unknown(text)))
    if not unknown:
        return None
    named = []
    for word in unknown[:WORDS_NAMED]:
        close = difflib.get_close_matches(word, known.words, n=2)
        hint = f" (closest: {', '.join(map(printable, close))})" if close else ""
        named.append(f'"{printable(word)}"{hint}')
    more = f" and {len(unknown) - WORDS_NAMED} more" if len(unknown) > WORDS_NAMED else ""
    never = "never had" if known.all and known.least == 1 else "never had, or hardly ever,"
    kind = "word" if len(unknown) == 1 else "words"
    return (
        f"the captions that it was trained on {never} the {kind} {', '.join(named)}{more}; "
        "--examples prints some that it knows."
    )


def _print(captions: Sequence[str]) -> None:
    for caption in captions[:PRINTED]:
        print(f"  {printable(caption)}")
