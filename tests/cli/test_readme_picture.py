"""Contract: the README's picture was drawn with what the README says and tells to type."""

import argparse
import importlib
import json
import pathlib
import re
import shlex

import pytest
from PIL import Image

from babeldraw.cli.support.drawn_files import SETTINGS
from babeldraw.data import tasks
from babeldraw.evaluation.quickstart import CUTOFF
from babeldraw.sampling.pictures import Sampler

ROOT = pathlib.Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def picture():
    with Image.open(ROOT / "docs" / "samples.png") as opened:
        return opened.text


@pytest.fixture(scope="module")
def typed():
    """The README's first command that draws, as its subcommand reads it."""
    parser = argparse.ArgumentParser()
    importlib.import_module("babeldraw.cli.sample").add_arguments(parser)
    lines = README.replace("\\\n", "").splitlines()
    drawing = next(line for line in lines if re.match(r'babeldraw sample "', line))
    return parser.parse_args(shlex.split(drawing, comments=True)[2:])


def test_the_words_under_it_are_its_settings(picture):
    settings = json.loads(picture["settings"])
    assert settings["cutoff"] == CUTOFF  # what the quickstart draws with
    assert picture["seed"] == "0"  # what it has where none is given
    under = " ".join(README[README.index("docs/samples.png") :].split("```")[0].split())
    assert (
        f"seed {picture['seed']}, guidance weight {settings['guidance_weight']:g}, temperature "
        f"{settings['temperature']:g}, cutoff {settings['cutoff']:g} "
    ) in under
    assert "bash launch/quickstart.sh " in README[README.index(under[-20:]) :].split("```")[1]


def test_the_command_that_draws_has_the_same_settings(picture, typed):
    settings = dict.fromkeys(SETTINGS) | json.loads(picture["settings"])
    found = {name: getattr(typed, name) for name in SETTINGS}
    if found["guidance_weight"] is None:  # the model's own, and a run has none
        found["guidance_weight"] = Sampler.guidance_weight
    assert found == settings
    assert str(typed.seed or 0) == picture["seed"] and typed.terms == []
    assert typed.prompts[0] in json.loads(picture["prompts"])


def test_its_prompts_were_never_trained_on(picture):
    prompts = json.loads(picture["prompts"])
    held_out = list(tasks.task_captions("emoji_quickstart_32", "heldout_people"))
    assert len(prompts) == 24 and set(prompts) <= set(held_out)
