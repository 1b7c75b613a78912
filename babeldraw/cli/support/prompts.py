"""Prompts from the command line to text tokens, with what can be wrong with them."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from babeldraw.cli.support.terminal import printable
from babeldraw.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from babeldraw.models.coca import CoCa
    from babeldraw.models.encoder_decoder import EncoderDecoder
    from babeldraw.pieces import Vocabulary

NAMED = 5
"""Prompts that are named in warnings."""

SHOWN = 40
"""Characters of a prompt in a message."""


def check_prompts(prompts: Sequence[str]) -> None:
    """What can be said of prompts before a model is loaded.

    Raises:
      UserError: one is empty, or is not Unicode.
    """
    for number, prompt in enumerate(prompts, start=1):
        if not prompt.strip():
            raise UserError(
                f"Prompt {number} is empty: say what to draw (--guidance_weight 0 draws without "
                "any text, whatever the prompt)."
            )
        if not _is_unicode(prompt):
            raise UserError(f"{shown(prompt)} is not valid UTF-8: type it anew.")


def encode_prompts(
    prompts: Sequence[str], vocabulary: "Vocabulary", model: "EncoderDecoder | CoCa"
) -> "np.ndarray":
    """Text tokens `int32[prompts, text_length]`, as those that `model` was trained on.

    A prompt that is too long is cut, with a warning on stderr; of more than `NAMED` one says so.

    Raises:
      UserError: an empty prompt, one that is not Unicode, or a vocabulary that is not the model's.
    """
    from babeldraw.pieces import encode

    check_prompts(prompts)
    text_length = model.text_length
    if vocabulary.vocab_size > model.text_vocab_size:
        raise UserError(
            f"The vocabulary {vocabulary.sentencepiece_model_file} has {vocabulary.vocab_size} "
            f"tokens and the model knows {model.text_vocab_size}: it is not the one that the run "
            "was trained with; put that one back."
        )
    counts = [len(vocabulary.encode(prompt)) for prompt in prompts]
    too_long = [place for place, count in enumerate(counts) if count > text_length - 1]
    for place in too_long[:NAMED]:
        print(
            f"warning: {shown(prompts[place])} has {counts[place]} text tokens; the model reads "
            f"the first {text_length - 1}.",
            file=sys.stderr,
        )
    if len(too_long) > NAMED:
        more = len(too_long) - NAMED
        print(f"warning: {more} more of {len(prompts)} prompts are cut so.", file=sys.stderr)
    return encode(prompts, vocabulary, text_length)


def count_cut(
    prompts: Sequence[str], vocabulary: "Vocabulary", model: "EncoderDecoder | CoCa"
) -> int:
    """How many prompts are longer than the model reads."""
    return sum(len(vocabulary.encode(prompt)) > model.text_length - 1 for prompt in prompts)


def shown(prompt: str) -> str:
    """A prompt in quotes for a message: its beginning, harmless on a terminal."""
    text = prompt if len(prompt) <= SHOWN else prompt[:SHOWN] + "..."
    return f'"{printable(text)}"'


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # Bytes of the command line that are no UTF-8.
        return False
    return True
