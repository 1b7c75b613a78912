"""Contract: a run and some prompts make files that say what they are; mistakes are one sentence."""

import argparse
import json

import numpy as np
import pytest
from PIL import Image

from babeldraw.cli import sample as sample_command
from babeldraw.cli.main import main
from babeldraw.cli.support import draw_options, drawing
from babeldraw.cli.support.drawn_files import file_stems, in_rows
from babeldraw.cli.support.prompts import encode_prompts
from babeldraw.cli.support.runs import open_run
from babeldraw.data.vocabulary import EMOJI_VOCABULARY
from babeldraw.errors import UserError
from babeldraw.files import OUTPUT_MARK
from tests.cli import runs
from tests.models import tiny

PROMPTS = ["a red apple 🍎", "تفاحة حمراء"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.write_text_to_image(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def coca(tmp_path_factory):
    return runs.write_coca(tmp_path_factory.mktemp("runs"))


def sample(*arguments):
    return main(["sample", *map(str, arguments)])


def metadata(path):
    with Image.open(path) as picture:
        return picture.text


def refused(capsys, *arguments):
    assert sample(*arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("babeldraw: error: ")
    return lines[-1]


@pytest.fixture(scope="module")
def drawn(run, coca, tmp_path_factory):
    """Two prompts, two further texts, three samples each, in the order of a CoCa, enlarged."""
    output = tmp_path_factory.mktemp("drawn")
    upscaler = runs.write_super_resolution(tmp_path_factory.mktemp("runs"))
    further = ("--and", "sunny", "0.5", "--and", "rain", "-1")
    settings = ("--num_samples=3", "--seed=7", "--guidance_weight=1.5", "--batch_size=4")
    orders = ("--rerank", coca, "--upscale", upscaler)
    assert (
        sample(*PROMPTS, "--checkpoint", run, *further, *settings, *orders, "--output", output) == 0
    )
    return output


def test_files_and_their_metadata(drawn, run):
    stems = ["a-red-apple", "تفاحة-حمراء"]
    expected = {f"{stem}-{number:02d}.png" for stem in stems for number in range(3)}
    assert {path.name for path in drawn.iterdir()} == expected | {"grid.png", OUTPUT_MARK}
    for prompt, stem in zip(PROMPTS, stems, strict=True):
        texts = [metadata(drawn / f"{stem}-{number:02d}.png") for number in range(3)]
        assert {text["prompt"] for text in texts} == {prompt}
        assert {text["seed"] for text in texts} == {"7"}
        assert {text["model"] for text in texts} == {run}
        assert {text["step"] for text in texts} == {"1"}
        assert sorted(text["sample"] for text in texts) == ["0", "1", "2"]
        settings = json.loads(texts[0]["settings"])
        assert settings["and"] == [["sunny", 0.5], ["rain", -1.0]]
        assert settings["guidance_weight"] == 1.5
        assert all(float(text["score"]) < 0 for text in texts)


def test_without_options_tokens_are_drawn_as_the_model_has_them():
    """Temperature 1.0, no top-k, no top-p (the patent)."""
    parser = argparse.ArgumentParser()
    sample_command.add_arguments(parser)
    args = parser.parse_args(["a cook", "--checkpoint", "run"])
    draw_options.set_defaults(args, argparse.Namespace(defaults={}))  # of a run, which has none
    assert (args.temperature, args.top_k, args.top_p, args.cutoff) == (1.0, None, None, 0.0)
    assert (args.guidance_weight, args.terms) == (1.0, [])


def test_a_coca_orders_the_samples(drawn):
    for stem in ("a-red-apple", "تفاحة-حمراء"):
        texts = [metadata(drawn / f"{stem}-{number:02d}.png") for number in range(3)]
        found = [float(text["similarity"]) for text in texts]
        assert found == sorted(found, reverse=True)
        assert found[0] > found[-1]


def test_an_upscaler_doubles_the_side(drawn):
    with Image.open(drawn / "a-red-apple-00.png") as picture:
        assert picture.size == (40, 32)


def test_a_picture_to_start_from(run, tmp_path, capsys):
    """Its tokens are given: all but those of the box, or its first rows."""
    picture = tiny.images(1, seed=9)[0]
    path = tmp_path / "start.png"
    Image.fromarray(picture).save(path)
    opened = open_run(run)
    tokens = opened.codec().encode(picture[None])

    def start(**settings):
        defaults = {"start": str(path), "rows": None, "redraw": None}
        return drawing._start(argparse.Namespace(**(defaults | settings)), opened)

    given, redraw = start(rows=3)
    np.testing.assert_array_equal(given, tokens[:, :15])
    assert redraw == ()
    given, redraw = start(redraw="4,4,8,5")
    np.testing.assert_array_equal(given, tokens)
    assert redraw == (6, 7, 11, 12)

    arguments = ("--checkpoint", run, "--output", tmp_path)
    for wrong, says in (
        (("--rows=0",), "--rows is 0; give a whole number, 1 or more"),
        (("--rows=4",), "give 1 to 3"),
        (("--redraw=1,2,3",), "give LEFT,TOP,WIDTH,HEIGHT"),
        (("--redraw=0,0,21,2",), "not inside the picture of 20 x 16 px"),
        (("--redraw=0,0,4,4", "--rows=1"), "needs one of --rows and --redraw"),
        ((), "needs one of --rows and --redraw"),
    ):
        assert says in refused(capsys, "a cook", *arguments, "--start", path, *wrong)
    assert "cannot be read (not an image)" in refused(
        capsys, "a cook", *arguments, "--start", __file__, "--rows=1"
    )


@pytest.mark.slow
def test_a_box_of_a_picture_is_drawn_anew(run, tmp_path):
    path = tmp_path / "start.png"
    Image.fromarray(tiny.images(1, seed=9)[0]).save(path)
    arguments = ("--checkpoint", run, "--num_samples=2", "--output", tmp_path / "out")
    box = ("--start", path, "--redraw=4,4,8,5", "--guidance_weight=0")
    assert sample("a cook", *arguments, *box) == 0
    settings = json.loads(metadata(tmp_path / "out" / "a-cook-01.png")["settings"])
    assert settings["redraw"] == "4,4,8,5"
    assert settings["guidance_weight"] == 0


def test_a_prompt_of_ten_thousand_characters_is_cut_with_a_warning(run, capsys):
    long = "woman " * 1667
    opened = open_run(run)
    tokens = encode_prompts([long], opened.vocabulary, opened.objective.model)
    assert tokens.shape == (1, 16)
    assert tokens[0, -1] == 1
    assert (tokens[0] > 0).all()
    error = capsys.readouterr().err
    assert 'warning: "woman woman' in error
    assert "text tokens; the model reads the first 15." in error
    assert len(error) < 1000
    assert len(file_stems([long])[0]) <= 60


@pytest.mark.parametrize("empty", ["", "  \t"])
def test_an_empty_prompt_is_refused(run, empty, capsys):
    assert "Prompt 2 is empty: say what to draw" in refused(
        capsys, "a cook", empty, "--checkpoint", run
    )


def test_bytes_that_are_no_text_are_refused(run, capsys):
    assert "is not valid UTF-8" in refused(capsys, "a \udcff cook", "--checkpoint", run)


def test_no_prompt_at_all(run, capsys):
    assert "there is no prompt" in refused(capsys, "--checkpoint", run)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--and", "rain", "no"), "has the weight 'no'; give a number"),
        (("--and", "rain", "inf"), "has the weight 'inf'; give a number"),
        (("--seed=-1",), "--seed is -1"),
        (("--batch_size=0",), "--batch_size is 0; give a whole number, 1 or more"),
        (("--temperature=nan",), "--temperature is nan"),
    ],
)
def test_settings_that_mean_nothing_are_refused(run, arguments, says, capsys):
    assert says in refused(capsys, "a cook", "--checkpoint", run, *arguments)


def test_a_run_of_another_objective_is_refused(run, coca, capsys):
    assert "ContrastiveCaptioner, which draws no pictures" in refused(
        capsys, "a cook", "--checkpoint", coca
    )
    assert "TextToImage, which compares no pictures with texts" in refused(
        capsys, "a cook", "--checkpoint", run, "--rerank", run
    )
    assert "TextToImage, which enlarges no pictures" in refused(
        capsys, "a cook", "--checkpoint", run, "--upscale", run
    )


def test_an_output_that_is_a_file_is_refused(run, capsys):
    assert "cannot be written (it is a file)" in refused(
        capsys, "a cook", "--checkpoint", run, "--output", __file__
    )


def test_another_vocabulary_is_refused(tmp_path, capsys):
    run = runs.write_text_to_image(tmp_path)
    with pytest.raises(UserError, match="has 2048 tokens and the model knows 1000: it is not the"):
        encode_prompts(["a cook"], open_run(run).vocabulary, tiny.transformer(text_vocab_size=1000))
    with runs.changed_settings(run) as settings:
        settings["objective"]["model"]["text_vocab_size"] = 1000
    said = refused(capsys, "a cook", "--checkpoint", run)
    assert "its params/text_to_image/text_embedding/table is [2048, 16] and that of its" in said


def test_a_run_draws_without_its_data(tmp_path):
    run = runs.write_text_to_image(tmp_path)
    with runs.changed_settings(run) as settings:
        settings["train_dataset"]["mixture_or_task_name"] = "folder:/gone/"
    with pytest.raises(UserError, match="There is no '/gone"):
        open_run(run).vocabulary  # noqa: B018
    kept = tmp_path / "text_to_image" / "vocabulary.model"
    kept.write_bytes(EMOJI_VOCABULARY.read_bytes())
    opened = open_run(run)
    tokens = encode_prompts(["a cook"], opened.vocabulary, opened.objective.model)
    assert tokens.shape == (1, opened.objective.model.text_length)


def test_many_samples_are_more_rows_of_the_grid():
    images = np.arange(2 * 11, dtype=np.uint8).reshape(2, 11, 1, 1, 1)
    rows = in_rows(images)
    assert rows.shape == (2, 2, 8, 1, 1, 1)
    assert rows[1].ravel().tolist() == [*range(11, 22), *[255] * 5]
    assert in_rows(images[:, :3]).shape == (2, 1, 3, 1, 1, 1)


def test_prompts_that_look_alike_get_files_of_their_own():
    assert file_stems(["A cook!", "🍎", "a cook", "🍐"]) == [
        "a-cook",
        "prompt",
        "a-cook-2",
        "prompt-2",
    ]
    there = ["a-cook-00.png", "a-cook-2-grid.png", "grid.png", "a-cooker-00.png"]
    assert file_stems(["a cook", "a grid", "a cooker"], there) == [
        "a-cook-3",
        "a-grid",
        "a-cooker-2",
    ]


def test_a_file_of_prompts_goes_into_shards_without_a_grid(run, tmp_path, capsys):
    file = tmp_path / "prompts.txt"
    file.write_text("a cook\na pilot\na cook\n")
    line = ("--prompts", file, "--checkpoint", run, "--output", tmp_path / "out", "--seed=7")
    assert sample(*line, "--num_samples=2") == 0
    pictures = sorted((tmp_path / "out" / "pictures" / "00000").iterdir())
    assert len(pictures) == 6 and not (tmp_path / "out" / "grid.png").exists()
    assert {metadata(path)["prompt"] for path in pictures} == {"a cook", "a pilot"}
    # The prompt that comes again has samples of its own.
    assert sorted(metadata(path)["sample"] for path in pictures) == [*"0", *"0", *"1", *"1", *"23"]
    assert "6 pictures of 3 prompts are in" in capsys.readouterr().out
    pictures[0].unlink()
    assert sample(*line, "--num_samples=2") == 0 and pictures[0].exists()
    assert "of which 5 were there" in capsys.readouterr().out
    said = refused(capsys, *line, "--num_samples=3")
    assert "drawn with another num_samples (2, now 3)" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("a cook", "--prompts", "p.txt"), "are ways to say what to draw"),
        (("--prompts", "p.txt", "--rerank", "run"), "--rerank is not for a file of prompts"),
        (("--prompts", "/nowhere.txt"), "/nowhere.txt cannot be read"),
        (("a cook", "--together=2"), "--together is of a file of prompts"),
    ],
)
def test_what_does_not_go_with_a_file_of_prompts(run, arguments, says, capsys, tmp_path):
    line = (*arguments, "--checkpoint", run, "--output", tmp_path / "out")
    assert says in refused(capsys, *line)
    assert not (tmp_path / "out").exists()
