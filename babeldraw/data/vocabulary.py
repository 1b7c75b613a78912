"""SentencePiece vocabularies: loading, encoding prompts, training.

Ids by convention: 0 pads, 1 ends a sequence, 2 is unknown.
"""

import io
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np
import sentencepiece
import seqio
from google.protobuf import message

from babeldraw.errors import UserError
from babeldraw.files import written_whole
from babeldraw.pieces import EOS_ID, PAD_ID, UNK_ID

EMOJI_VOCABULARY = pathlib.Path(__file__).parent / "assets" / "emoji" / "vocabulary.model"
EMOJI_WORDS_VOCABULARY = EMOJI_VOCABULARY.with_name("words_vocabulary.model")

MAX_SENTENCE = 4192
"""Bytes. SentencePiece trains on longer ones by a setting alone, which would stand in the model."""

RESERVED = "\u2585"
"""SentencePiece leaves out a sentence that has it."""


def load_vocabulary(path: str | pathlib.Path) -> seqio.SentencePieceVocabulary:
    """Opens a SentencePiece model file.

    Raises:
      UserError: there is no such file, or it is no SentencePiece model with our special ids.
    """
    if not pathlib.Path(path).is_file():
        raise UserError(f"There is no vocabulary at {path}: train one with `babeldraw vocab`.")
    vocabulary = seqio.SentencePieceVocabulary(str(path))
    try:
        ids = (vocabulary.tokenizer.pad_id(), vocabulary.eos_id, vocabulary.unk_id)
    except (OSError, RuntimeError, message.DecodeError) as error:
        raise UserError(f"{path} is not a SentencePiece model: give a file that is.") from error
    if ids != (PAD_ID, EOS_ID, UNK_ID):
        raise UserError(
            f"The vocabulary {path} has ids {ids} for padding, end and unknown, but Babeldraw "
            "needs (0, 1, 2): train it with `babeldraw vocab`."
        )
    return vocabulary


def train_vocabulary(
    captions: Iterable[str],
    output: str | pathlib.Path,
    size: int,
    *,
    lowercase: bool = True,
    byte_fallback: bool = True,
    sample: int = 2_000_000,
) -> None:
    """Trains a byte-pair model and writes it. The same captions give the same bytes.

    Byte pairs, since SentencePiece's unigram trainer takes as seeds only strings that occur in two
    different words: in a small set of captions it would cut "skin", which is always "skin".

    Captions of any length count: those above `MAX_SENTENCE` are cut between words.

    Args:
      captions: the text; sorted before use, so that their order does not matter.
      output: file to write.
      size: number of ids, special ones (3) and those of `byte_fallback` (256) included.
      lowercase: fold case, so that "Red Apple" and "red apple" are one.
      byte_fallback: spell unknown characters as bytes, so that no prompt has an unknown id.
      sample: use at most so many captions, by a seeded draw.

    Raises:
      UserError: the captions do not support a vocabulary of this size, or have no text at all.
    """
    texts = sorted(captions)
    if len(texts) > sample:
        chosen = np.random.default_rng(0).choice(len(texts), sample, replace=False)
        texts = [texts[index] for index in sorted(chosen)]
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(part for text in texts for part in _sentences(text)),
            model_writer=model,
            vocab_size=size,
            model_type="bpe",
            normalization_rule_name="nmt_nfkc_cf" if lowercase else "nmt_nfkc",
            byte_fallback=byte_fallback,
            character_coverage=0.9995,
            pad_id=PAD_ID,
            eos_id=EOS_ID,
            unk_id=UNK_ID,
            bos_id=-1,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        reason = str(error).splitlines()[0].split("] ")[-1].strip()
        if not reason:  # it names a line of its source alone
            raise UserError(
                f"A vocabulary cannot be made from {len(texts)} captions, as they have no text: "
                "name another --task or --split, or write captions."
            ) from error
        raise UserError(
            f"A vocabulary of {size} pieces cannot be made from {len(texts)} captions ({reason}): "
            "choose another --size."
        ) from error
    with written_whole(output) as file:
        file.write(model.getvalue())


def _sentences(caption: str) -> Iterator[str]:
    """The caption, in parts that SentencePiece takes."""
    caption = caption.replace(RESERVED, " ")
    if _size(caption) <= MAX_SENTENCE:
        yield caption
        return
    longest = MAX_SENTENCE // 4 - 1  # characters, of at most four bytes, of one that has no spaces
    words = (
        word[start : start + longest]
        for word in caption.split()
        for start in range(0, len(word), longest)
    )
    part, size = "", 0
    for word in words:
        if size + 1 + _size(word) > MAX_SENTENCE:
            yield part
            part, size = "", 0
        part = f"{part} {word}" if part else word
        size += 1 + _size(word)
    yield part


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))
