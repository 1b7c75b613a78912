"""Contract: `benchmarks.emoji_model` gives commands that exist, and counts what is drawn right."""

import argparse
import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from babeldraw.cli.main import split_gin_bindings
from babeldraw.evaluation.shares import wilson
from benchmarks import emoji_model, emoji_model_scores
from benchmarks.emoji_model_scores import Cells


@pytest.fixture(scope="module")
def cells():
    return Cells.read(32)


class Copier:
    """Draws of each prompt the real picture `further` places behind its own."""

    def __init__(self, cells, further):
        self._rows = {cell.caption: index + further for index, cell in enumerate(cells.cells)}
        self._images = cells.gallery.images

    def draw(self, prompts, seed):
        del seed
        return self._images[[self._rows[prompt] for prompt in prompts]]


@pytest.mark.parametrize(("name", "command"), emoji_model.commands(Path("out")).items())
def test_every_stage_is_a_command(name, command):
    subcommand, *rest = command
    parser = argparse.ArgumentParser(allow_abbrev=False)
    importlib.import_module(f"babeldraw.cli.{subcommand.replace('-', '_')}").add_arguments(parser)
    args = parser.parse_args(split_gin_bindings(rest))
    for file in getattr(args, "gin_file", ()):
        assert Path(file).is_file()
        assert name in file and args.model_dir == f"out/{name}"


def test_what_is_real_is_right(cells):
    rows = cells.some("heldout_people", 20)
    assert len({*rows}) == 20 and all(cells.cells[row].split == "heldout_people" for row in rows)
    result = emoji_model_scores.score(Copier(cells, 0), cells, rows, 2)
    expected = [1.0, *wilson(1.0, 20)]
    assert result.as_data() == dict.fromkeys(("concept", "style", "both"), expected)


def test_another_concept_in_the_right_style_is_told_apart(cells):
    rows = np.array([row for row in cells.some("train", 60) if not cells.cells[row + 1].role])[:20]
    result = emoji_model_scores.score(Copier(cells, 1), cells, rows, 1)
    found = result.as_data()
    assert found["concept"][0] < 0.3 and found["both"][0] < 0.3  # some are drawn alike
    assert found["style"][0] > 0.7


def test_another_style_of_the_right_concept_is_told_apart(cells):
    rows = np.arange(40, 3000, 200)
    result = emoji_model_scores.score(Copier(cells, len(cells.cells) // 3), cells, rows, 1)
    found = result.as_data()
    assert found["concept"][0] > 0.9 and found["style"][0] < 0.2 and found["both"][0] < 0.2


def test_of_several_candidates_the_captioners_first_counts():
    class Words:
        def encode(self, text):
            return [3 + len(text)]

    class Judge:
        """Likes the brightest."""

        judge_vocabulary, model = Words(), SimpleNamespace(text_length=4)

        def reranker(self, batch_size):
            return self

        def __call__(self, text, images):
            assert text[:, 0].tolist() == [4, 5]
            return images.mean((2, 3, 4))

    class Sampler:
        model = SimpleNamespace(text_length=4)

        def __call__(self, text, seed, num_samples):
            drawn = np.zeros((len(text), num_samples, 2, 2, 3), np.uint8)
            drawn[0, 2], drawn[1, 0] = 9, 7
            return drawn

    model = emoji_model_scores.Model(SimpleNamespace(vocabulary=Words()), Sampler(), 3, Judge())
    assert model.draw(["a", "bc"], 0)[:, 0, 0, 0].tolist() == [9, 7]


def test_the_sheet_has_each_prompt(cells, tmp_path):
    rows = cells.some("train", 8)
    result = emoji_model_scores.score(Copier(cells, 0), cells, rows, 1)
    emoji_model_scores.write_sheet(tmp_path / "sheet.png", cells, [("seen", rows, result)])
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 8 * 32 and sheet.height > 2 * 32


def test_costs_add_up_over_starts(tmp_path):
    stopped = {"stage": "coca", "seconds": 1800.0, "cpu_seconds": 3600.0, "exit_code": 1}
    lines = [json.dumps(record) for record in (stopped, {**stopped, "exit_code": 0})]
    (tmp_path / "costs.jsonl").write_text("\n".join(lines) + "\n")
    assert emoji_model.costs(tmp_path)[-1] == "| coca | 2 | 1.00 | 2.00 |"


def test_other_words_than_settings_are_refused(capsys):
    with pytest.raises(SystemExit):
        emoji_model.main(["train", "--no_such=1"])
    assert "--no_such" in capsys.readouterr().err


@pytest.mark.slow
def test_the_first_steps_are_the_same_twice(capsys):
    small = ["--gin.MIXTURE_OR_TASK_NAME=emoji_32", "--gin.IMAGE_SIZE=32"]
    lengths = "--gin.TASK_FEATURE_LENGTHS={'text': 20, 'image': 32}"
    emoji_model.main(["same", "--steps=3", *small, lengths])
    hashes = {
        line.split()[-1] for line in capsys.readouterr().out.splitlines() if "after 3" in line
    }
    assert len(hashes) == 1
