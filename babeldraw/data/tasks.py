"""The seqio tasks. Importing this module registers them.

  emoji_SIZE             the whole set             train, heldout_style, heldout_people
  emoji_people_SIZE      gender x tone x role      train, heldout_people
  emoji_quickstart_SIZE  some roles of that grid   train, heldout_people
  emoji_words_SIZE       the whole set, each picture with captions as people type them
  coco_captions_256      MS-COCO 2014 captions     train, validation, test
  coco_captions_512      the same for super-resolution

Pictures of one's own need no registration: `find_task` knows names such as folder:/my/pictures, and
mixtures such as folder:/my/pictures:0.7+emoji_256:0.3; see `babeldraw.data.sources.names`.

SIZE is 32 (shipped), 64, 128 or 256 (after ``babeldraw data build emoji --size SIZE``). The emoji
set is prepared for TFDS on first use; MS-COCO is downloaded by its user.
"""

import contextlib
import dataclasses
import difflib
import functools
import os
import pathlib
from collections.abc import Callable, Iterator

import seqio
import tensorflow as tf

from babeldraw.data import features, preprocessing
from babeldraw.data.picture_files.view import PLAIN, View
from babeldraw.data.sets import emoji
from babeldraw.data.sets.emoji_source import EmojiSource, EmojiWords
from babeldraw.data.sources import names as sources
from babeldraw.data.sources.tfds_source import TfdsPictures
from babeldraw.data.sources.token_set import Manifest, TokenSource
from babeldraw.data.streams.per_example import PerExampleTask
from babeldraw.data.vocabulary import EMOJI_VOCABULARY, EMOJI_WORDS_VOCABULARY
from babeldraw.errors import UserError
from babeldraw.files import cache_dir

COCO_SIZES = (256, 512)
COCO_TFDS = "coco_captions:1.1.0"
COCO_SPLITS = {"train": "train+restval", "validation": "val", "test": "test"}


def coco_vocabulary() -> pathlib.Path:
    """Where the COCO task looks for its vocabulary: BABELDRAW_COCO_VOCABULARY or the cache."""
    path = os.environ.get("BABELDRAW_COCO_VOCABULARY")
    return pathlib.Path(path or cache_dir() / "vocabulary" / "coco_captions.model")


def find_task(
    name: str, split: str, *, captioned: bool = True, view: View = PLAIN
) -> seqio.Task | seqio.Mixture:
    """The registered task or mixture, or the one that the name describes.

    Unless `captioned`, one's own pictures need no captions, and a mixture no common vocabulary.

    Args:
      view: how pictures come that are not of one size already.

    Raises:
      UserError: there is none of this name or nothing where it points, it has no such split, the
        tasks of a mixture have different vocabularies, or its pictures cannot be seen so.
    """
    if name in _registered():
        provider = seqio.get_mixture_or_task(name) if view == PLAIN else _as_seen(name, view)
    else:
        provider = _open(name, os.environ.get(sources.VOCABULARY_VARIABLE), captioned, view)
    if split not in provider.splits:
        raise UserError(
            f"{name} has no split {split!r}: choose one of {', '.join(provider.splits)}."
        )
    return provider


def is_ready_made(name: str) -> bool:
    """Whether all pictures of a task or mixture are of one size already, and never cropped."""
    if parts := sources.split_mixture(name):
        return all(is_ready_made(part) for part, _ in parts)
    task = seqio.get_mixture_or_task(name) if name in _registered() else None
    return isinstance(getattr(task, "source", None), EmojiSource)


def find_pictures(name: str, split: str, view: View = PLAIN) -> seqio.Task | seqio.Mixture:
    """As `find_task`; of a set with classes, or without a single caption, all its pictures."""
    with contextlib.suppress(UserError):  # comes again below, if it is not for want of captions
        provider = find_task(name, split, view=view)
        tasks = getattr(provider, "tasks", [provider])
        for task in tasks:
            task.source.num_input_examples(split)
        if not any(getattr(task.source, "class_features", ()) for task in tasks):
            return provider
    return find_task(name, split, captioned=False, view=view)


def _registered() -> list[str]:
    return sorted({*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()})


@functools.lru_cache(maxsize=16)
def _as_seen(name: str, view: View) -> seqio.Task | seqio.Mixture:
    """A registered task or mixture whose pictures come as `view` says."""
    if name in _CROPPED:
        return _CROPPED[name](view)
    provider = seqio.get_mixture_or_task(name)
    if isinstance(getattr(provider, "source", None), EmojiSource | EmojiWords):
        view = dataclasses.replace(view, fit=PLAIN.fit, background=PLAIN.background)  # of one size
    if view != PLAIN:
        raise UserError(
            f"The pictures of {name} are ready-made, so that FIT, BACKGROUND, ZOOM and FLIP would "
            "change nothing: leave out what you have set of them."
        )
    return provider


@functools.lru_cache(maxsize=16)  # lists a folder once
def _open(
    name: str, vocabulary: str | None, captioned: bool, view: View
) -> seqio.Task | seqio.Mixture:
    del vocabulary  # part of the key only
    if parts := sources.split_mixture(name):
        tasks = (
            # A view is of the other tasks: what is ready-made comes as it is.
            find_task(p, "train", captioned=captioned, view=PLAIN if is_ready_made(p) else view)
            for p, _ in parts
        )
        rates = (rate for _, rate in parts)
        return mix(name, list(zip(tasks, rates, strict=True)), captioned)
    task = sources.open_task(name, captioned=captioned, view=view)
    if task is None:
        names = _registered()
        close = difflib.get_close_matches(name, names, n=3)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        own = ", ".join(f"{kind}:PATH" for kind in sources.KINDS)
        raise UserError(
            f"There is no task or mixture named {name!r}: {hint}Known are {', '.join(names)}; "
            f"for pictures of your own write {own}."
        )
    return task


def mix(
    name: str, tasks: list[tuple[seqio.Task | seqio.Mixture, float]], captioned: bool
) -> seqio.Mixture:
    """Draws each example from a task with a probability as its rate; an epoch has all of them."""
    manifests = [token_manifest(task) for task, _ in tasks]
    if len({manifest and manifest.made_as for manifest in manifests}) > 1:
        raise UserError(
            f"The tasks of {name!r} must all have pictures, or all have tokens of one tokenizer, "
            "of pictures of one size and fit: tokenize the others so, too."
        )
    vocabularies = [task.output_features["text"].vocabulary for task, _ in tasks]
    paths = [str(vocabulary.sentencepiece_model_file) for vocabulary in vocabularies]
    missing = [path for path in paths if not pathlib.Path(path).exists()]
    # Not by their names: a run keeps a copy of its own.
    differ = not missing and len({pathlib.Path(path).read_bytes() for path in paths}) > 1
    if captioned and (missing or differ):
        variable = sources.VOCABULARY_VARIABLE
        raise UserError(
            f"The tasks of {name!r} need one vocabulary, but have {', '.join(paths)}"
            f"{f', of which {missing[0]} is missing' if missing else ''}: make one with `babeldraw "
            f"vocab` and set {variable} to it, or to that of the registered task."
        )
    # Without stop_on_empty_dataset=False, an evaluation would end with the smallest task.
    sample = functools.partial(tf.data.Dataset.sample_from_datasets, stop_on_empty_dataset=False)
    return seqio.Mixture(sources.safe_name(name), tasks, sample_fn=sample)


def token_manifest(provider: seqio.Task | seqio.Mixture) -> Manifest | None:
    """Of tasks of tokens, what they are; None of all others."""
    source = getattr(provider, "source", None)
    if isinstance(provider, seqio.Mixture):  # `_mix` has seen to it that they agree
        source = provider.tasks[0].source
    if not isinstance(source, TokenSource):
        return None
    return source.manifest


def task_captions(task_name: str, split: str = "train") -> Iterator[str]:
    """All captions of a split, as they are before tokenizing; pictures are not decoded.

    Raises:
      UserError: as `find_task`; or the name is a registered mixture's.
    """
    if parts := sources.split_mixture(task_name):  # before a vocabulary is there to share
        for part, _ in parts:
            yield from task_captions(part, split)
        return
    task = find_task(task_name, split)
    if not isinstance(task, seqio.Task):
        raise UserError(f"{task_name} is a mixture: name one of its tasks instead.")
    yield from task.source.captions(split)


for _size in emoji.SIZES:
    for _selection, _name in (("all", ""), ("people", "people_"), ("quickstart", "quickstart_")):
        seqio.TaskRegistry.add(
            f"emoji_{_name}{_size}",
            task_cls=PerExampleTask,
            source=EmojiSource(f"{_selection}_{_size}"),
            preprocessors=[preprocessing.check_image_size, *features.TEXT_STEPS],
            output_features=features.with_pictures(str(EMOJI_VOCABULARY)),
            shuffle_buffer_size=sources.SHUFFLE_BUFFER,
        )
    _whole = View(zoom=1.0)  # the pictures are of one size, and come as they are
    seqio.TaskRegistry.add(
        f"emoji_words_{_size}",
        task_cls=PerExampleTask,
        side=_size,
        view=_whole,
        source=EmojiWords(_size),
        preprocessors=[
            functools.partial(preprocessing.caption_image, size=_size, view=_whole),
            preprocessing.check_image_size,
            *features.TEXT_STEPS,
        ],
        output_features=features.with_pictures(str(EMOJI_WORDS_VOCABULARY)),
        shuffle_buffer_size=sources.SHUFFLE_BUFFER,
    )


_CROPPED: dict[str, Callable[[View], PerExampleTask]] = {}
"""Registered tasks, made anew for another view."""


def add_captioned_task(
    name: str, source: seqio.DataSource, vocabulary_path: str, size: int
) -> None:
    """Registers a task of opaque pictures with several captions each, of `size` px a side."""

    def make(view: View) -> PerExampleTask:
        return PerExampleTask(
            name,
            side=size,
            view=view,
            source=source,
            preprocessors=[
                functools.partial(preprocessing.caption_image, size=size, view=view),
                preprocessing.check_image_size,
                *features.TEXT_STEPS,
            ],
            output_features=features.with_pictures(vocabulary_path),
            shuffle_buffer_size=sources.SHUFFLE_BUFFER,
        )

    _CROPPED[name] = make
    seqio.TaskRegistry.add_provider(name, make(PLAIN))


for _size in COCO_SIZES:
    add_captioned_task(
        f"coco_captions_{_size}",
        TfdsPictures(COCO_TFDS, splits=COCO_SPLITS),
        str(coco_vocabulary()),
        size=_size,
    )
