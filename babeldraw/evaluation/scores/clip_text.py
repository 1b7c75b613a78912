"""CLIP's tokenizer: byte pairs of a cleaned text in lower case, as OpenAI published it.

The merges are a file of the user's: `merges.txt`, or `bpe_simple_vocab_16e6.txt.gz`. The vocabulary
follows from them, so that no other file is needed.
"""

import functools
import gzip
import html
import itertools
import os
import pathlib
import re
import unicodedata
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from babeldraw.errors import UserError

MERGES = 49152 - 256 - 2
"""Of the published vocabulary of 49,408; a longer file's others are not read."""

START, END = "<|startoftext|>", "<|endoftext|>"
_CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")


class ClipTokenizer:
    """Texts to token numbers."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Reads the merges.

        Raises:
          UserError: the file cannot be read or holds no merges; or ftfy is not installed.
        """
        try:
            import ftfy
        except ImportError as error:
            raise UserError(
                "CLIP's tokenizer repairs texts with ftfy, which is not installed: "
                "`pip install 'babeldraw[eval]'`."
            ) from error
        self._repair = ftfy.fix_text
        merges = _read(pathlib.Path(path))
        letters = list(_byte_letters().values())
        words = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, merges)]
        self._numbers = {word: number for number, word in enumerate([*words, START, END])}
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}
        self._pieces = functools.lru_cache(maxsize=65536)(self._split)

    def __call__(self, texts: Sequence[str], length: int) -> Int[np.ndarray, "n length"]:
        """Start, text, end, and 0 for the rest; longer texts are cut and end with the end token."""
        rows = np.zeros((len(texts), length), np.int32)
        for row, text in zip(rows, texts, strict=True):
            numbers = [self._numbers[START], *self.encode(text), self._numbers[END]][:length]
            numbers[-1] = self._numbers[END]
            row[: len(numbers)] = numbers
        return rows

    def __len__(self) -> int:
        """How many tokens there are."""
        return len(self._numbers)

    def encode(self, text: str) -> list[int]:
        """Without start and end."""
        clean = html.unescape(html.unescape(self._repair(text)))
        clean = re.sub(r"\s+", " ", clean.strip()).strip().lower()
        letters = _byte_letters()
        numbers = []
        for word in split_words(clean):
            pieces = self._pieces("".join(letters[byte] for byte in word.encode()))
            numbers += [self._numbers[piece] for piece in pieces]
        return numbers

    def _split(self, word: str) -> tuple[str, ...]:
        """Joins the pair that was learned first, again and again."""
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        while len(pieces) > 1:
            pairs = set(itertools.pairwise(pieces))
            best = min(pairs, key=lambda pair: self._ranks.get(pair, len(self._ranks)))
            if best not in self._ranks:
                break
            joined, index = [], 0
            while index < len(pieces):
                if tuple(pieces[index : index + 2]) == best:
                    joined.append("".join(best))
                    index += 2
                else:
                    joined.append(pieces[index])
                    index += 1
            pieces = joined
        return tuple(pieces)


def split_words(text: str) -> list[str]:
    r"""By `'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+`, which `re` cannot read.

    The names of the two special tokens are texts like any other, as open_clip reads them.
    """
    kinds = "".join(map(_kind, text))
    runs = re.compile("L+|N|O+")
    words, index = [], 0
    while index < len(text):
        known = next((word for word in _CONTRACTIONS if text.startswith(word, index)), None)
        found = runs.match(kinds, index)
        if known:
            words.append(known)
            index += len(known)
        elif found:
            words.append(text[index : found.end()])
            index = found.end()
        else:
            index += 1
    return words


def _kind(letter: str) -> str:
    """L for letters, N for numbers, a blank for blanks, O for all else."""
    category = unicodedata.category(letter)[0]
    return " " if letter.isspace() else category if category in "LN" else "O"


def _read(path: pathlib.Path) -> list[tuple[str, str]]:
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): fetch the merges anew.") from error
    lines = text.split("\n")[1:]  # the first says what wrote it
    merges = [tuple(line.split()) for line in lines[:MERGES] if line.strip()]
    if not merges or any(len(pair) != 2 for pair in merges):
        raise UserError(
            f"{path} holds no merges, two words a line after the first: give CLIP's merges.txt or "
            "bpe_simple_vocab_16e6.txt.gz."
        )
    return [(first, second) for first, second in merges]


@functools.cache
def _byte_letters() -> dict[int, str]:
    """A printable letter for each byte: itself where it is one, else one beyond 255 (GPT-2's)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in printable}
    others = (byte for byte in range(256) if byte not in letters)
    return letters | {byte: chr(256 + index) for index, byte in enumerate(others)}
