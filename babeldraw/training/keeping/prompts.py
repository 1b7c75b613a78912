"""What a run has read: some of its captions, and their words, in model_dir/prompts.json.

With them one can draw what a model knows, and hear of a prompt's words that it never met: the
pieces of its vocabulary do not tell, for they spell any word. The file holds

  format     of this file
  data       the training data, as the run's manifest has them
  captions   how many of training were read for this, and `all`: whether that is all of them
  seen       captions of training, and `held_out`: of the evaluation, which training lacks
  words      word -> how many times it stands in those captions; `least`: rarer ones are left out
"""

import collections
import dataclasses
import hashlib
import heapq
import itertools
import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from etils import epath

from babeldraw.errors import UserError
from babeldraw.files import written_whole
from babeldraw.objectives.base import Objective
from babeldraw.training import agreement
from babeldraw.training.keeping.manifest import read_manifest

NAME = "prompts.json"
FORMAT = 1

KEPT = 200
"""Captions of each kind."""
LONGEST = 500
"""Characters of a caption that is kept; longer ones are cut."""
MOST_CAPTIONS = 200_000
"""Read at most: more would hold up the start of a run, and bring few words."""
MOST_WORDS = 20_000
"""Some 300 kB; the rarest are left out."""

# Scripts that put no spaces between words: each sign counts as one.
_UNSPACED = ("CJK UNIFIED", "HIRAGANA", "KATAKANA", "THAI", "LAO ", "KHMER", "MYANMAR")


@dataclasses.dataclass(frozen=True)
class Prompts:
    """See above."""

    data: Mapping[str, Any] | None
    captions: int
    all: bool
    seen: Sequence[str]
    held_out: Sequence[str]
    words: Mapping[str, int]
    least: int = 1

    def unknown(self, text: str) -> list[str]:
        """Words of a text that no caption had, each once, in their order."""
        return [word for word in dict.fromkeys(words_of(text)) if word not in self.words]


def keep_prompts(
    directory: epath.Path, objective: Objective, train_dataset: Any, eval_dataset: Any
) -> None:
    """Process 0 writes the file, where it is not there for these data; all processes call it.

    Nothing is written of a stage that reads no texts, or of data that do not tell their captions.
    To be called when the manifest has been kept.

    Raises:
      UserError: in all processes: captions cannot be read, or the file not be written.
    """
    if "text_tokens" in objective.batch_shapes(1) and hasattr(train_dataset, "captions"):
        agreement.by_first(lambda: _keep(directory, train_dataset, eval_dataset))


def _keep(directory: epath.Path, train_dataset: Any, eval_dataset: Any) -> None:
    manifest = read_manifest(directory)
    data = None if manifest is None else manifest.data
    if (directory / NAME).exists() and read_prompts(directory).data == data:
        return
    found = collect(train_dataset, eval_dataset, data)
    with written_whole(directory / NAME, "free its disk or give another model_dir") as file:
        file.write(as_file(found))


def as_file(found: Prompts) -> bytes:
    """What the file holds."""
    text = json.dumps({"format": FORMAT, **dataclasses.asdict(found)}, ensure_ascii=False)
    return text.encode()


def collect(train_dataset: Any, eval_dataset: Any, data: Any = None) -> Prompts:
    """Reads captions, and no picture.

    Args:
      train_dataset: has `captions()`, as `data.streams.pipeline.Dataset` has.
      eval_dataset: the same; may be None.

    Raises:
      UserError: they cannot be read.
    """
    captions = train_dataset.captions()
    read = collections.Counter(in_one_line(itertools.islice(captions, MOST_CAPTIONS)))
    words: collections.Counter[str] = collections.Counter()
    for caption, times in read.items():
        for word in words_of(caption):
            words[word] += times
    frequent = words.most_common(MOST_WORDS)
    held_out = eval_dataset.captions() if hasattr(eval_dataset, "captions") else iter(())
    unread = set(in_one_line(itertools.islice(held_out, MOST_CAPTIONS))) - set(read)
    return Prompts(
        data=data,
        captions=read.total(),
        all=next(captions, None) is None,
        seen=_some(read),
        held_out=_some(unread),
        words=dict(frequent),
        least=1 if len(frequent) == len(words) else frequent[-1][1],
    )


def read_prompts(directory: epath.Path) -> Prompts:
    """What the run keeps.

    Raises:
      UserError: it keeps nothing, or the file is damaged.
    """
    path = directory / NAME
    if not path.exists():
        raise UserError(f"{directory} has no {NAME}: a run of before, or one without texts.")
    try:
        found = json.loads(path.read_bytes())
        if found.pop("format") != FORMAT:
            raise UserError(f"{path} is not in format {FORMAT}: use a later Babeldraw.")
        return Prompts(**found)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path} is damaged ({error}): remove it, and start the run once more."
        ) from error


def words_of(text: str) -> Iterator[str]:
    """The words, without case; of scripts that are written without spaces, the signs."""
    for run in unicodedata.normalize("NFKC", text).casefold().split():
        kept = "".join(sign if unicodedata.category(sign)[0] in "LMN" else " " for sign in run)
        spaced = "".join(f" {sign} " if _is_unspaced(sign) else sign for sign in kept)
        yield from spaced.split()


def _is_unspaced(sign: str) -> bool:
    return sign > "\u0dff" and unicodedata.name(sign, "").startswith(_UNSPACED)


def in_one_line(captions: Iterable[str]) -> Iterator[str]:
    """As they are kept: in one line, and as UTF-8 takes them; empty ones are left out."""
    for caption in captions:
        text = " ".join(caption.split()).encode("utf-8", "replace").decode()
        if text:
            yield text


def _some(captions: Iterable[str]) -> list[str]:
    """`KEPT` of them, by a hash: the same whatever their order, and none preferred."""
    chosen = heapq.nsmallest(
        KEPT, captions, key=lambda text: hashlib.sha256(text.encode()).digest()
    )
    return [text[:LONGEST] for text in chosen]
