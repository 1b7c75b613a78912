"""Drawn pictures captioned back: how near are the captions to the texts they were drawn from?

BLEU-4 and CIDEr are those of pycocoevalcap, as MS-COCO's captions are scored. Its words come from a
Java program; here from `words`, which splits as that does but for rare cases.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int

from babeldraw.data.picture_files.view import PLAIN, View
from babeldraw.errors import UserError
from babeldraw.evaluation.scores import intervals
from babeldraw.evaluation.scores.base import Pictures, ScoreResult, mean_result
from babeldraw.evaluation.scores.coca import framed
from babeldraw.evaluation.scores.hosts import gathered, share
from babeldraw.sampling.rerank import Reranker

if TYPE_CHECKING:
    from seqio import SentencePieceVocabulary

_WORD = re.compile(r"n't\b|'(?:s|m|d|re|ve|ll)\b|[^\W_]+(?:[-',.:/][^\W_]+)*")


class CaptionBack:
    """`bleu4` and `cider` of the captions that a CoCa run gives the pictures."""

    def __init__(
        self,
        captioner: Reranker,
        vocabulary: "SentencePieceVocabulary",
        identity: Mapping[str, object],
        view: View = PLAIN,
    ) -> None:
        """Takes an opened run's captioner, vocabulary and view, and what a report calls it by.

        Raises:
          UserError: pycocoevalcap is not installed.
        """
        self._scorers = _scorers()
        self._captioner, self._vocabulary = captioner, vocabulary
        self._identity, self._view = identity, view

    @property
    def name(self) -> str:
        """Of the run."""
        return f"captions back, {self._identity.get('checkpoint', 'CoCa')}"

    @property
    def settings(self) -> Mapping[str, object]:
        """The captioner, and how words are told apart."""
        return {
            "captioner": dict(self._identity),
            "captions": "the most probable token, one after another",
            "words": "lower case, without punctuation, contractions split",
            "cider_weights": "of the given texts",
            "package": "pycocoevalcap 1.2",
        }

    def of(
        self, pictures: Pictures, texts: Sequence[str], references: Pictures | None
    ) -> dict[str, ScoreResult]:
        """Numbers by name; references are not looked at. All processes have to call it.

        Raises:
          UserError: there are not as many texts as pictures, or none.
        """
        if len(pictures) != len(texts) or not texts:
            raise UserError(
                f"There are {len(pictures)} pictures and {len(texts)} texts: give each picture its "
                "text."
            )
        captions = self.captions(pictures)
        spoken, meant = ([" ".join(words(text)) for text in side] for side in (captions, texts))
        bleu, cider = self._scorers
        rows = np.arange(len(texts))[:, None]
        parts = [
            _bleu4(bleu, [spoken[i] for i in part[:, 0]], [meant[i] for i in part[:, 0]])
            for part in intervals.groups(rows)
        ]
        whole = _bleu4(bleu, spoken, meant)
        _, by_picture = cider.compute_score(_by_number(meant), _by_number(spoken))
        return {
            "bleu4": ScoreResult(whole, intervals.of_groups(whole, parts), None, len(texts)),
            "cider": mean_result(np.asarray(by_picture)),
        }

    def captions(self, pictures: Pictures) -> list[str]:
        """What the captioner says of each."""
        length = self._captioner.model.text_length
        rows: list[Int[np.ndarray, "n text"]] = [np.zeros((0, length), np.int32)]
        for batch in pictures[share(len(pictures))].batches(self._captioner.batch_size):
            seen = framed(batch, self._captioner.model.image_size, self._view)
            rows.append(self._captioner.caption(seen).astype(np.int32))
        tokens = gathered(np.concatenate(rows))
        return [self._vocabulary.decode([int(n) for n in row if n]) for row in tokens]


def words(text: str) -> list[str]:
    """Lower case, without punctuation; `it's` and `don't` are two words, `noto-style` is one."""
    return _WORD.findall(re.sub(r"(?<=\w)(n't|'(?:s|m|d|re|ve|ll))\b", r" \1", text.lower()))


def _bleu4(scorer: Any, spoken: Sequence[str], meant: Sequence[str]) -> float:
    score, _ = scorer.compute_score(_by_number(meant), _by_number(spoken), verbose=0)
    return float(score[3])


def _by_number(texts: Sequence[str]) -> dict[int, list[str]]:
    return {number: [text] for number, text in enumerate(texts)}


def _scorers() -> tuple[Any, Any]:
    try:
        from pycocoevalcap.bleu.bleu import Bleu
        from pycocoevalcap.cider.cider import Cider
    except ImportError as error:
        raise UserError(
            "BLEU and CIDEr are of pycocoevalcap, which is not installed: "
            "`pip install 'babeldraw[captions]'`."
        ) from error
    return Bleu(4), Cider()
