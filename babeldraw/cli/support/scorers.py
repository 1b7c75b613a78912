"""The scores of `babeldraw evaluate --suite`: those that the arguments ask for, opened."""

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from babeldraw.errors import UserError

if TYPE_CHECKING:
    from babeldraw.cli.support.prompt_files import SuiteDrawer
    from babeldraw.evaluation.scores.base import Pictures, Score
    from babeldraw.evaluation.suites.entries import Suite


LITE0 = "EfficientNet-Lite0"
"""What `--distances` alone stands for."""


def add_arguments(group: Any) -> None:
    """Adds those of scores."""
    group.add_argument(
        "--distances",
        nargs="?",
        const=LITE0,
        metavar="FILE",
        help="how far the pictures are from real ones as a set: FID, KID and others by InceptionV3 "
        "of this file, without one by EfficientNet-Lite0",
    )
    group.add_argument(
        "--resizing",
        choices=["torch-fidelity", "pytorch-fid", "clean-fid"],
        help="of pictures for InceptionV3 (default: torch-fidelity)",
    )
    group.add_argument(
        "--clip",
        action="append",
        default=[],
        metavar="DIR",
        help="match with the texts by CLIP: a folder with its weights, settings and merges; may be "
        "given several times",
    )
    group.add_argument(
        "--coca",
        action="append",
        default=[],
        metavar="DIR",
        help="the same by a CoCa run; may be given several times",
    )
    group.add_argument(
        "--captioner",
        metavar="DIR",
        help="BLEU-4 and CIDEr of the captions that this CoCa run gives the pictures",
    )


def open_scores(
    args: argparse.Namespace,
    suite: "Suite",
    own: "tuple[Pictures | None, Sequence[int]]",
    references: "Pictures | None",
    drawer: "SuiteDrawer",
) -> "list[Score]":
    """All of them, with their networks; the arguments' own are in the order of `--help`.

    Args:
      own: the suite's own real pictures, and the entry of each.
      references: what sets are compared with; None: there is nothing.

    Raises:
      UserError: a network's file is missing or of another form.
    """
    from babeldraw.evaluation.scores.checks import EmojiChecks
    from babeldraw.evaluation.scores.nearest import MOST, Nearest, fits

    scores: list[Score] = []
    checks = {each.id: each.checks for each in suite.entries}
    if any(checks.values()):
        scores.append(EmojiChecks(checks))
    pictures, entries = own
    few = pictures is not None and references is pictures and len(pictures) <= MOST
    if few and fits(drawer.sampler.tokenizer.image_size):
        scores.append(Nearest([suite.entries[index].prompt for index in entries], suite.others))
    return [*scores, *_asked(args, drawer)]


def _asked(args: argparse.Namespace, drawer: "SuiteDrawer") -> "Iterator[Score]":
    """Those that have a network of their own."""
    if args.resizing and args.distances in (None, LITE0):
        raise UserError("--resizing is of InceptionV3; give its weights with --distances FILE.")
    if drawer.classes and (args.clip or args.coca or args.captioner):
        raise UserError(
            "--clip, --coca and --captioner compare pictures with texts, and a class is none; "
            "leave them out."
        )
    if args.distances:
        from babeldraw.evaluation.scores import feature_network
        from babeldraw.evaluation.scores.distances import Distances

        yield Distances(
            feature_network.efficientnet_lite0()
            if args.distances == LITE0
            else feature_network.inception(args.distances, args.resizing or "torch-fidelity")
        )
    for folder in args.clip:
        from babeldraw.evaluation.scores.clip import open_clip_folder
        from babeldraw.evaluation.scores.text_match import TextMatch

        yield TextMatch(open_clip_folder(folder))
    for directory in args.coca:
        yield _of_run(directory, captions=False)
    if args.captioner:
        yield _of_run(args.captioner, captions=True)


def _of_run(directory: str, *, captions: bool) -> "Score":
    """A CoCa that matches pictures with texts, or captions them; on this process's device."""
    from babeldraw.cli.support.models import open_model
    from babeldraw.cli.support.prompt_files import fingerprint
    from babeldraw.evaluation.scores.captions import CaptionBack
    from babeldraw.evaluation.scores.coca import CocaEmbedder
    from babeldraw.evaluation.scores.text_match import TextMatch

    opened = open_model(directory, wanted="reranker")
    coca = opened.reranker()
    identity = {"checkpoint": directory, "step": opened.step, "weights": fingerprint(coca.params)}
    if captions:
        return CaptionBack(coca, opened.judge_vocabulary, identity, opened.view)
    return TextMatch(CocaEmbedder(coca, opened.judge_vocabulary, identity, opened.view))


def warnings(chooser: "str | None", scores: "Sequence[Score]") -> list[str]:
    """What a reader has to know before the numbers.

    Args:
      chooser: the fingerprint of the reranker's weights, if there is one.
    """
    return [
        f"the reranker is the scorer of {score.name!r} itself, which judges its own choice: read "
        "that score as its ceiling, or score with another network."
        for score in scores
        if chooser is not None and chooser in score.settings.values()
    ]
