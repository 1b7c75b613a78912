"""What `babeldraw quickstart` sees of a task before it trains: counts, captions, vocabulary."""

import dataclasses
import itertools
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babeldraw.errors import UserError

if TYPE_CHECKING:
    from babeldraw.data.classes import Classes
    from babeldraw.data.picture_files.content import Advice

LEAST = 40
"""Pictures: with fewer, what is held out says nothing."""

LOOKED_AT = 2000
"""Pictures that are read for their sizes and what they show."""

VOCABULARY_SIZES = (4000, 3000, 2000, 1500, 1000, 700, 500, 400, 300)
TEXT_LENGTHS = (16, 32, 64, 128)


@dataclasses.dataclass(frozen=True)
class Look:
    """What a task holds.

    Attributes:
      train, held_out: pictures of both splits that stage 1 can read.
      eval_split: the name of the latter.
      captions: all of training; none where stage 2 has nothing to learn.
      captioned: pictures of training that have one.
      side: the median of the pictures' shorter sides, in pixels.
      advice: which fit suits them.
      classes: what is learned in the place of captions, if that is asked for.
    """

    task: str
    train: int
    held_out: int
    eval_split: str
    captions: Sequence[str]
    captioned: int
    side: float
    advice: "Advice"
    classes: "Classes | None" = None

    def sentences(self) -> list[str]:
        """For the terminal."""
        lines = [
            f"{self.train:,} pictures to train on and {self.held_out:,} held out "
            f"({self.eval_split}); their shorter sides have {self.side:.0f} px (median)",
            f"FIT is {self.advice.fit}: {self.advice.reason}",
        ]
        if self.classes is not None:
            names, feature = self.classes.names, self.classes.feature
            return [
                *lines,
                f"{len(names):,} classes by {feature!r}, such as {', '.join(names[:5])}",
            ]
        if not self.captions:
            return [
                *lines,
                "no captions: the tokenizer alone is trained, to draw nothing",
            ]
        different = len(set(self.captions))
        lines.append(f"{len(self.captions):,} captions, {different:,} of them different")
        if self.captioned < self.train:
            lines.append(
                f"{self.train - self.captioned:,} pictures have no caption: they train the "
                "tokenizer alone"
            )
        return lines


def look(task: str, class_feature: str | None = None) -> Look:
    """Reads the list of a task, and some of its pictures.

    Args:
      class_feature: learn classes by this feature; "": by the one that there is.

    Raises:
      UserError: there is no such task, it has too few pictures, none held out, all its captions
        are alike, or it has no such classes.
    """
    from babeldraw.data import raw, tasks

    provider = tasks.find_task(task, "train", captioned=False)
    if tasks.token_manifest(provider) is not None:
        raise UserError(f"{task} has tokens, no pictures: give the task that they were made of.")
    others = [split for split in provider.splits if split != "train"]
    if not others:
        raise UserError(
            f"{task} has no split but train, and nothing to be held out: give a set that has "
            "`validation`, too."
        )
    eval_split = "validation" if "validation" in others else others[-1]
    train, held_out = (
        sum(t.source.num_input_examples(split) for t in raw.subtasks(provider, split))
        for split in ("train", eval_split)
    )
    if train < LEAST or not held_out:
        raise UserError(
            f"{task} has {train} pictures to train on and {held_out} held out, which is too few to "
            f"learn from: bring at least {LEAST + LEAST // 4}."
        )
    sources = [t.source for t in raw.subtasks(provider, "train")]
    if class_feature is not None:
        classes = _classes(provider, class_feature, task)
        return Look(task, train, held_out, eval_split, [], train, *_pictures(sources), classes)
    captions = [caption for source in sources for caption in source.captions("train")]
    if captions and len(set(captions)) == 1:
        raise UserError(
            f"All {len(captions)} captions of {task} are {captions[0][:60]!r}, so that a prompt "
            "can say nothing: write what each picture shows, or take the captions away, and the "
            "tokenizer alone is trained."
        )
    captioned = train
    if captions and all(hasattr(source, "pictures") for source in sources):
        captioned = sum(bool(p.captions) for source in sources for p in source.pictures("train"))
    return Look(task, train, held_out, eval_split, captions, captioned, *_pictures(sources))


def _classes(provider: Any, feature: str, task: str) -> "Classes":
    from babeldraw.data.classes import Classes, features_of

    known = features_of(provider)
    if not feature and len(known) > 1:
        raise UserError(
            f"{task} has classes by {', '.join(known)}: say by which, as in --classes={known[0]}."
        )
    return Classes.of(provider, feature or next(iter(known), "class"), task)


def _pictures(sources: Sequence[Any]) -> tuple[float, "Advice"]:
    """The median of the shorter sides, and which fit suits the pictures."""
    from babeldraw.data import raw
    from babeldraw.data.picture_files import content

    examples = (e for source in sources for e in raw.raw_examples(source, "train"))
    sides, contents = [], []
    for example in itertools.islice(examples, LOOKED_AT):
        sides.append(min(example.image.shape[:2]))
        contents.append(content.measure(example.image, example.name))
    if not sides:
        raise UserError("No picture of the set can be read: `babeldraw data inspect` says why.")
    return statistics.median(sides), content.recommended_fit(contents)


def find_vocabulary(seen: Look, file: Path) -> tuple[Path, int, bool]:
    """The vocabulary of the task's captions: its own, or one that is made of them.

    Args:
      file: where the latter is kept, or is from before.

    Returns:
      The file, how many pieces it has, and whether it is not the task's own.
    """
    from babeldraw.data import tasks, vocabulary
    from babeldraw.data.sources.names import VOCABULARY_VARIABLE

    if not file.exists():
        provider = tasks.find_task(seen.task, "train", captioned=False)
        own = Path(provider.output_features["text"].vocabulary.sentencepiece_model_file)
        if own.is_file():
            return own, vocabulary.load_vocabulary(own).vocab_size, False
        _make_vocabulary(seen.captions, file)
    os.environ[VOCABULARY_VARIABLE] = str(file)
    return file, vocabulary.load_vocabulary(file).vocab_size, True


def _make_vocabulary(captions: Sequence[str], file: Path) -> None:
    """The largest of `VOCABULARY_SIZES` that the captions give."""
    from babeldraw.data import vocabulary

    for size in VOCABULARY_SIZES[:-1]:
        try:
            vocabulary.train_vocabulary(captions, file, size)
        except UserError:
            continue
        return
    vocabulary.train_vocabulary(captions, file, VOCABULARY_SIZES[-1])


def text_length(captions: Sequence[str], vocabulary_file: Path) -> int:
    """The least of `TEXT_LENGTHS` that holds 99 of 100 captions with their end."""
    import numpy as np

    from babeldraw.data.vocabulary import load_vocabulary

    vocabulary = load_vocabulary(vocabulary_file)
    lengths = [len(vocabulary.encode(caption)) + 1 for caption in captions]
    needed = float(np.quantile(lengths, 0.99))
    return next((length for length in TEXT_LENGTHS if length >= needed), TEXT_LENGTHS[-1])
