"""Contract: the picture of docs/image_models.md was drawn with what stands under it."""

import json
import pathlib

from PIL import Image

from babeldraw.data.streams import pipeline

DOCS = pathlib.Path(__file__).parents[2] / "docs"


def test_the_words_under_the_picture_are_its_settings():
    page = " ".join((DOCS / "image_models.md").read_text().split())
    with Image.open(DOCS / "image_models.png") as opened:
        said = opened.text
    settings = json.loads(said["settings"])
    assert (
        f"seed {said['seed']}, guidance weight {settings['guidance_weight']:g}, temperature "
        f"{settings['temperature']:g}, cutoff {settings['cutoff']:g}"
    ) in page
    emoji = pipeline.Dataset("emoji_quickstart_32", {"image": 32}, class_feature="role")
    assert json.loads(said["classes"]) == list(emoji.class_names())
