"""TASK_FEATURE_LENGTHS: what it has to say of a task, and whether it fits."""

from collections.abc import Mapping
from typing import Any

from babeldraw.data import tasks
from babeldraw.data.picture_files.view import View
from babeldraw.errors import UserError
from babeldraw.sizes import Size


def check(lengths: Mapping[str, Size], reads_texts: bool) -> None:
    """Whether all that is needed is there; ``text`` only where texts are read.

    Raises:
      UserError: it is not, or there is more.
    """
    unread = set() if reads_texts else {"text"}
    if {*lengths} | unread != {"text", "image"} or "image" not in lengths:
        raise UserError(
            f"TASK_FEATURE_LENGTHS has keys {sorted(lengths)}, but needs exactly 'text' (tokens) "
            "and 'image' (pixels)."
        )
    if not isinstance(lengths.get("text", 0), int):
        raise UserError("TASK_FEATURE_LENGTHS has several lengths of 'text': give it one.")


def of_features(
    lengths: Mapping[str, Size], provider: Any, name: str, view: View
) -> dict[str, Size]:
    """As the provider's features need them: of tokens, how many in the place of the size.

    Raises:
      UserError: the tokens are of pictures of another size, or seen otherwise; or it has neither
        pictures nor tokens.
    """
    found = dict(lengths)
    if {"image", "image_tokens"}.isdisjoint(provider.output_features):
        raise UserError(
            f"{name} has texts alone, and pictures are asked for: give it to a recipe of texts "
            "(gin/runs/text_encoder.gin), or another task to this one."
        )
    manifest = tasks.token_manifest(provider)
    if manifest is not None:
        manifest.check_asked(name, found.pop("image"), view)
        found["image_tokens"] = manifest.num_tokens
    return found


def check_streamed(lengths: Mapping[str, Size], name: str, class_feature: str) -> None:
    """For a task that is read from its beginning on, and with its texts alone.

    Raises:
      UserError: classes, or no texts, are asked of it.
    """
    if class_feature or "text" not in lengths:
        what = "CLASS_FEATURE is set" if class_feature else "'text' is missing"
        raise UserError(
            f"{name} is read from its beginning on, with its texts alone, and {what}: bring TFDS "
            "sets as TFRecord or ArrayRecord, or pictures in files."
        )
