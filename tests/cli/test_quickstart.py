"""Contract: the quickstart, cut short, runs both stages and leaves a report and a usable model."""

import json

import numpy as np
import pytest
from PIL import Image

from babeldraw.cli.main import main
from babeldraw.cli.support.runs import open_run
from babeldraw.errors import UserError

STEPS = 60


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    directory = tmp_path_factory.mktemp("quickstart")
    assert run(directory) == 0
    return directory


def run(directory):
    short = [f"--gin.TRAIN_STEPS={STEPS}", "--gin.EVAL_EVERY=30", "--gin.LOG_EVERY=20"]
    return main(["quickstart", "--output", str(directory), *short])


@pytest.mark.slow
def test_report_has_the_promised_keys_and_sane_values(output):
    report = json.loads((output / "report.json").read_text())
    assert report["wall_seconds"] >= sum(report["seconds"].values()) > 0
    assert 8 < report["tokenizer"]["psnr"] < 40
    assert 0 < report["tokenizer"]["codebook_usage"] <= 1
    assert 1 <= report["tokenizer"]["perplexity"] <= 512
    assert 0 < report["text_to_image"]["loss"] < 7
    for name in ("train_top1", "heldout_top1", "heldout_cell_top1"):
        assert 0 <= report["retrieval"][name] <= 1
    assert report["retrieval"]["heldout_cell_top1"] <= report["retrieval"]["heldout_top1"]
    assert report["parameters"]["text_to_image"] > report["parameters"]["tokenizer"] > 0


@pytest.mark.slow
def test_report_is_one_file_with_its_pictures_inside(output):
    page = (output / "report.html").read_text()
    assert page.count("data:image/png;base64,") > 70
    assert "http://" not in page.replace("http://www.w3.org/", "") and "https://" not in page
    assert "skin tone" in page
    assert np.asarray(Image.open(output / "samples.png")).std() > 10


@pytest.mark.slow
def test_the_run_directories_explain_themselves(output):
    for stage in ("tokenizer", "text_to_image"):
        directory = output / stage
        assert f"TRAIN_STEPS = {STEPS}" in (directory / "config.gin").read_text()
        assert (directory / "model-info.txt").is_file()
        lines = (directory / "metrics.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in lines]
        assert {record["split"] for record in records} == {"train", "eval", "seen"}
        assert records[-1]["step"] == STEPS


@pytest.mark.slow
def test_report_has_the_prompt_gaps(output):
    report = json.loads((output / "report.json").read_text())
    losses, right = report["text_to_image"], report["retrieval"]
    assert losses["prompt_gap"] > -0.1 and losses["heldout_prompt_gap"] > -0.1
    assert right["heldout_prompts_of_seen_words"] == right["heldout_prompts"] == 72


@pytest.mark.slow
def test_sampling_from_the_finished_run(output, tmp_path, capsys):
    prompts = ["woman firefighter, dark skin tone, noto style", "../a cook"]
    arguments = ["sample", *prompts, "--checkpoint", str(output / "text_to_image")]
    assert main([*arguments, "--num_samples=2", "--output", str(tmp_path)]) == 0
    names = sorted(path.name for path in tmp_path.glob("*.png"))
    assert names == [
        "a-cook-00.png",
        "a-cook-01.png",
        "grid.png",
        "woman-firefighter-dark-skin-tone-noto-style-00.png",
        "woman-firefighter-dark-skin-tone-noto-style-01.png",
    ]
    picture = Image.open(tmp_path / names[-1])
    assert picture.size == (32, 32)
    assert picture.text["prompt"] == prompts[0]
    assert picture.text["seed"] == "0"


@pytest.mark.slow
def test_a_second_run_trains_nothing_again(output, capsys):
    before = (output / "text_to_image" / "metrics.jsonl").read_text()
    assert run(output) == 0
    assert (output / "text_to_image" / "metrics.jsonl").read_text() == before


@pytest.mark.slow
def test_a_tokenizer_run_draws_nothing(output):
    with pytest.raises(UserError, match="Tokenizer, which draws no pictures"):
        open_run(str(output / "tokenizer")).sampler()


def test_not_a_run_directory(tmp_path, capsys):
    assert main(["sample", "a cook", "--checkpoint", str(tmp_path / "nowhere")]) == 2
    assert "is not a run directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "says"),
    [
        ("--num_samples=0", "1 or more"),
        ("--temperature=-1", "0 or more"),
        ("--cutoff=1", "from 0 to below 1"),
        ("--top_k=0", "1 or more"),
        ("--top_p=1.5", "above 0 to 1"),
    ],
)
def test_sample_refuses_impossible_settings(flag, says, tmp_path, capsys):
    assert main(["sample", "a cook", "--checkpoint", str(tmp_path), flag]) == 2
    assert says in capsys.readouterr().err
