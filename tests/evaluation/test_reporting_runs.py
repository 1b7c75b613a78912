"""Pages of run directories: every stage, and whatever is missing, damaged or meant ill."""

import json
import shutil

import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.evaluation.reporting import findings, reading, sections, sheets
from tests.evaluation.run_files import (
    CLASSES,
    noise,
    write_eval,
    write_json,
    write_recipe,
    write_records,
    write_run,
    write_sheet,
)
from tests.evaluation.test_reporting_page import HOSTILE, check_accessible, check_closed

ROWS = [("eval", "a red bird"), ("eval", HOSTILE), ("seen", "a hat")]


def page_of(*directories):
    page = sections.report(reading.read_all([str(directory) for directory in directories]))
    markup = check_accessible(page)
    check_closed(markup)
    return page, markup


SAID = {
    "tokenizer": (
        "Held-out pictures come back at 20.0 dB (PSNR): a colour value is off by 26 of 255 levels",
        "75% of its 512 codes are in use on held-out pictures, as evenly as 100 codes of equal",
    ),
    "text_to_image": (
        "A prompt is worth 0.50 nats a token on held-out pictures (the prompt gap): with it the "
        "model finds each right token 1.6 times as likely as without.",
        "costs 3.00 nats, as a choice among 20.1 equally likely codes out of 512 does.",
    ),
    "image_tokens": (
        "A class is worth 0.500 nats a token on held-out pictures (the class gap); to a perfect "
        "model 12 classes are worth 0.039.",
        "costs 3.00 nats, as a choice among 20.1 equally likely codes out of 512 does.",
        "Class gap in nats a token (higher is better)",
    ),
    "super_resolution": ("That is 0.75 dB better than bilinear enlargement (17.4 dB).",),
    "coca": (
        "Among the 8 of a batch, 98% of the held-out pictures find their caption and 50% of the "
        "captions their picture; guessing would find 12.5%.",
        "90% of the tokens of held-out captions are guessed right.",
    ),
    "decoder_finetune": ("from the larger decoder at 26.0 dB (PSNR): a colour value is off by 13",),
    "text_encoder": (
        "75% of the hidden tokens of held-out texts are guessed right; each costs 1.50 nats.",
    ),
}


@pytest.mark.parametrize("kind", CLASSES)
def test_every_stage_has_a_page(tmp_path, kind):
    page, markup = page_of(write_run(tmp_path / "a", kind))
    for sentence in SAID[kind]:
        assert sentence in page
    headings = [text for text in markup.texts if text in ("Pictures", "What it learned", "Curves")]
    assert headings[-3:] == ["Pictures", "What it learned", "Curves"]
    for fact in ("290,536", "200 of 200", "emoji_32 (400 pictures)", "machine file cpu", "0.1.0"):
        assert fact in page
    # 200 steps of half a second; 200 x 8 pictures of 400.
    assert "1 min 40 s, 2 steps a second, 16 pictures a second" in page
    assert ">4.0<" in page and "2027-01-15 08:00 to 08:01 UTC" in page
    assert "Left out, because 0 throughout: Skipped steps." in page
    assert str(tmp_path) not in page


def test_pictures_come_first_labelled_and_with_their_prompts(tmp_path):
    run = write_run(tmp_path / "a", "text_to_image")
    images = noise(3, 2)
    for step in (100, 200):
        write_sheet(run, "samples", step, images, ("real", "drawn"), ROWS)
    _, markup = page_of(run)
    alts = [image["alt"] for image in markup.all("img")]
    assert alts[:4] == [
        "real: a red bird",
        "drawn: a red bird",
        f"real: {HOSTILE}",
        f"drawn: {HOSTILE}",
    ]
    # How it came to this: the real one and two steps of each held-out row.
    assert alts[4:7] == ["real: a red bird", "step 100: a red bird", "step 200: a red bird"]
    assert alts[-2:] == ["real: a hat", "drawn: a hat"]
    texts = markup.texts
    held_out = texts.index("Held out of training, at step 200")
    assert held_out < texts.index("Seen in training, at step 200")
    assert texts.index("Seen in training, at step 200") < texts.index("Loss (lower is better)")


def test_sheets_are_cut_into_the_very_pictures(tmp_path):
    for shape in ({"side": 8}, {"side": 128}, {"side": 16, "width": 24}):
        images = noise(3, 2, **shape)
        write_sheet(tmp_path, "samples", 100, images, ("real", "drawn"), ROWS)
        assert sheets.steps(str(tmp_path)) == {"samples": [100]}
        sheet = sheets.read(str(tmp_path), "samples", 100)
        assert [each.caption for each in sheet.shown["eval"]] == ["a red bird", HOSTILE]
        for split, rows in (("eval", images[:2]), ("seen", images[2:])):
            for shown, row in zip(sheet.shown[split], rows, strict=True):
                assert [label for label, _ in shown.pictures] == ["real", "drawn"]
                np.testing.assert_array_equal([p for _, p in shown.pictures], row)


def test_a_sheet_that_nobody_describes_is_shown_whole(tmp_path):
    run = write_run(tmp_path / "a", "tokenizer")
    write_sheet(run, "reconstructions", 100, noise(2, 3), "abc", [("eval", "")] * 2)
    (run / "pictures" / "reconstructions.json").unlink()
    page, markup = page_of(run)
    said = "Reconstructions at step 100, a row a picture: real, rebuilt, difference."
    assert said in page and [image["alt"] for image in markup.all("img")] == [said]


DAMAGED = {
    "cell of another size": {"cell": {"width": 5, "height": 5, "line": 2}},
    "no cell": {"cell": None},
    "a cell of nothing": {"cell": {"width": -1, "height": -1, "line": 1}},
    "other rows": {"rows": [{"split": "eval"}]},
    "rows of something else": {"rows": 7},
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_wrong_description_is_none(tmp_path, what):
    write_sheet(tmp_path, "samples", 100, noise(3, 2), ("real", "drawn"), ROWS)
    path = tmp_path / "pictures" / "samples.json"
    write_json(path, json.loads(path.read_text()) | DAMAGED[what])
    sheet = sheets.read(str(tmp_path), "samples", 100)
    assert not sheet.shown and sheet.whole is not None


def test_what_is_no_picture_is_said(tmp_path):
    run = write_run(tmp_path / "a", "tokenizer")
    (run / "pictures").mkdir()
    (run / "pictures" / "reconstructions-000100.png").write_bytes(b"\x89PNG cut short")
    assert "The sheet reconstructions of step 100 cannot be read as a picture." in page_of(run)[0]


def test_files_of_others_are_not_read(tmp_path):
    """A run directory may come from anybody, with links in it."""
    secret = tmp_path / "secret"
    secret.write_text("PASSWORD = 'x'\n")
    write_sheet(tmp_path / "other", "samples", 100, noise(3, 2), ("real", "drawn"), ROWS)
    run = write_run(tmp_path / "a", "text_to_image")
    (run / "config.gin").rename(run / "config-until-000100.gin")
    (run / "config.gin").symlink_to(secret)
    (run / "pictures").mkdir()
    for name in ("samples-000100.png", "samples.json"):
        (run / "pictures" / name).symlink_to(tmp_path / "other" / "pictures" / name)
    page, markup = page_of(run)
    assert "PASSWORD" not in page and not markup.all("img")
    assert "cannot be read as a picture" in page


def test_texts_of_a_run_become_no_markup(tmp_path):
    run = write_run(tmp_path / "a", "text_to_image")
    settings = json.loads((run / "settings.json").read_text())
    settings["train_dataset"]["mixture_or_task_name"] = HOSTILE
    write_json(run / "settings.json", settings)
    write_json(run / "machine.json", {"name": HOSTILE})
    write_json(run / "manifest.json", {"data": {"pictures": HOSTILE}, "babeldraw": HOSTILE})
    write_records(run / "alarms.jsonl", [{"step": 1, "kind": "a", "message": HOSTILE}])
    start = {"command": HOSTILE, "commit": HOSTILE, "device": HOSTILE}
    write_records(run / "starts.jsonl", [start])
    record = {"step": 1, "split": HOSTILE, "time": 0, HOSTILE: 1.0, "$x_1$ \\frac": 2.0}
    write_records(run / "metrics.jsonl", [record, {**record, "step": 2, "split": "eval"}])
    write_recipe(run / "config-until-000100.gin", {"A": HOSTILE})
    page, markup = page_of(run)
    assert "<script" not in page.lower()
    assert sum(HOSTILE in text for text in markup.texts) > 8


def test_alarms_are_shown_once_with_their_steps(tmp_path):
    run = write_run(tmp_path / "a", "tokenizer")
    raised = [(100, "codebook", "old words"), (200, "codebook", "few codes"), (0, "b", "alike")]
    records = [{"step": step, "kind": kind, "message": said} for step, kind, said in raised]
    write_records(run / "alarms.jsonl", records)
    _, markup = page_of(run)
    assert "Alarm at step 100 to 200: few codes." in markup.texts
    assert "Alarm at step 0: alike." in markup.texts


def test_changes_of_the_recipe_are_told_and_marked(tmp_path):
    run = write_run(tmp_path / "a", "tokenizer")
    before = {"LEARNING_RATE": 0.1, "MODEL_DIR": "'x'", "SEED": 7, "TRAIN_STEPS": 200}
    write_recipe(run / "config-until-000100.gin", before)
    _, markup = page_of(run)
    assert "The recipe changed after step 100:" in markup.texts
    assert "LEARNING_RATE: 0.1 -> 0.004" in markup.texts
    assert "Dotted upright lines: the recipe changed after step 100." in markup.texts


def test_what_started_it_is_told(tmp_path):
    run = write_run(tmp_path / "a", "tokenizer")
    first = {"command": "old", "devices": 1, "device": "cpu", "cores": 2}
    last = {**first, "command": "babeldraw train --x='a  b' --y=1", "babeldraw": "0.2"}
    write_records(run / "starts.jsonl", [first, {**last, "commit": "abc-dirty"}])
    _, markup = page_of(run)
    assert "babeldraw train \\\n    '--x=a  b' \\\n    --y=1" in markup.texts
    assert "Babeldraw 0.2, commit abc-dirty" in markup.texts
    assert "cpu with 2 cores, machine file cpu" in markup.texts


def test_runs_that_are_not_at_their_end_have_a_page(tmp_path):
    going_on = write_run(tmp_path / "a", "text_to_image", train_steps=1000)
    assert (
        "At step 200 of 1,000: still going on, or stopped. The same command goes on from "
        in (page_of(going_on)[0])
    )
    with (going_on / "metrics.jsonl").open("a") as file:
        file.write('{"step": 300, "split": "tr')  # killed while it wrote
    assert "At step 200 of 1,000" in page_of(going_on)[0]
    blind = write_run(tmp_path / "b", "text_to_image", evaluate=False)
    page, _ = page_of(blind)
    assert "Nothing was measured on held-out pictures: EVAL_EVERY is 0" in page
    assert "went from 1 at step 100 to 0.5 at step 200." in page
    (blind / "metrics.jsonl").unlink()
    shutil.rmtree(blind / "checkpoints")
    page, _ = page_of(blind)
    assert "Nothing is recorded yet" in page and "No checkpoint is saved." in page


def test_an_old_run_has_a_page(tmp_path):
    """Before there were settings, manifests, sheets with descriptions, starts and alarms."""
    run = write_run(tmp_path / "a", "tokenizer")
    for name in ("settings.json", "manifest.json", "machine.json", "model-info.txt"):
        (run / name).unlink()
    with (run / "config.gin").open("a") as file:
        file.write("loop.train.objective = @tokenizer.Tokenizer()\n")
    page, _ = page_of(run)
    assert "<title>Tokenizer: a</title>" in page and "come back at 20.0 dB" in page


@pytest.mark.parametrize("junk", ["", "null", "[]", "{", "7", '{"objective": 3}', "[" * 100_000])
def test_damaged_files_take_nothing_but_what_they_told(tmp_path, junk):
    run = write_run(tmp_path / "a", "tokenizer")
    for name in ("settings.json", "machine.json", "manifest.json", "starts.jsonl", "alarms.jsonl"):
        (run / name).write_text(junk)
    with (run / "metrics.jsonl").open("a") as file:
        file.write(f"{junk}\n" + '{"step": 300, "split": "eval", "psnr": NaN, "l2": 1e999}\n')
        file.write('{"step": "300", "split": "eval", "psnr": 1.0}\n')
    assert "PSNR in dB" in page_of(run)[0]


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("folder:/home/me/my cats", "folder:my cats (400 pictures)"),
        ("folder:gs://bucket/cats", "folder:gs://bucket/cats (400 pictures)"),
        ("emoji_32", "emoji_32 (400 pictures)"),
    ],
)
def test_data_are_named_without_the_folders_of_a_machine(tmp_path, task, said):
    run = write_run(tmp_path / "a", "tokenizer")
    settings = json.loads((run / "settings.json").read_text())
    settings["train_dataset"]["mixture_or_task_name"] = task
    write_json(run / "settings.json", settings)
    assert findings.dataset(reading.read(str(run))) == said


def test_what_is_no_run_is_one_sentence(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(UserError, match="is not a run directory"):
        reading.read_all([str(tmp_path / "a")])
    with pytest.raises(UserError, match="there is no such folder"):
        reading.read_all([str(tmp_path / "b")])


def test_a_folder_of_runs_is_these_runs_in_the_order_of_stages(tmp_path):
    for kind in ("text_to_image", "tokenizer"):
        write_run(tmp_path / kind, kind)
    (tmp_path / "samples").mkdir()
    runs = reading.read_all([str(tmp_path)])
    assert [run.kind for run in runs] == ["tokenizer", "text_to_image"]
    page, markup = page_of(tmp_path)
    assert "<title>2 runs: tokenizer and text to image</title>" in page
    assert [text for text in markup.texts if text == "Pictures"] == ["Pictures"] * 2


def test_advice_follows_the_figures(tmp_path):
    def advised(kind, metric, values, **settings):
        run = write_run(tmp_path / kind, kind, steps=(100 * len(values),), **settings)
        write_eval(run, metric, values)
        return page_of(run)[0]

    turned = advised("text_to_image", "loss", [3.0, 2.0, 2.5, 2.6, 2.7], train_steps=500)
    assert "still getting better" not in turned
    falling = advised("text_to_image", "loss", [5.0, 4.0, 3.0, 2.0, 1.0], train_steps=500)
    assert "still getting better between step 400 and the end, step 500" in falling
    assert "Set TRAIN_STEPS to 1,000." in falling
    settled = advised("text_to_image", "loss", [5.0, 3.0, 2.0, 2.0, 2.0], train_steps=500)
    assert "What to try next" not in settled


def test_what_an_alarm_says_stands_in_the_page(tmp_path):
    run = write_run(tmp_path / "a", "text_to_image", steps=(500,))
    write_records(run / "alarms.jsonl", [{"step": 500, "kind": "prompt_gap", "message": "it is"}])
    page, _ = page_of(run)
    assert "Alarm at step 500: it is." in page


def test_several_runs_stand_side_by_side(tmp_path):
    names = ("a", "b")
    made = noise(3, 1, seed=5)
    for index, name in enumerate(names):
        run = write_run(tmp_path / name, "text_to_image", rate=0.004 * (1 + index))
        images = np.concatenate([noise(3, 1), made if index else noise(3, 1, seed=6)], axis=1)
        write_sheet(run, "samples", 200, images, ("real", "drawn"), ROWS)
    page, markup = page_of(*(tmp_path / name for name in names))
    assert [image["alt"] for image in markup.all("img")][:3] == [
        "real: a red bird",
        "a, step 200: a red bird",
        "b, step 200: a red bird",
    ]
    rows = page.split("Settings that differ</caption>")[1].split("</table>")[0]
    assert rows.count("<tr>") == 2  # the head, and the one setting
    assert "optimizer.learning_rate.peak</th><td>0.004</td><td>0.008</td>" in rows
    labels = [svg["aria-label"] for svg in markup.all("svg")]
    assert any("a: held out: from 3 at" in said and "b: held out: from" in said for said in labels)
    assert page.count("var(--c0)") and page.count("var(--c1)")


def test_runs_of_other_pictures_are_shown_one_after_the_other(tmp_path):
    for index, name in enumerate(("a", "b")):
        run = write_run(tmp_path / name, "text_to_image")
        write_sheet(run, "samples", 200, noise(3, 2, seed=index), ("real", "drawn"), ROWS)
    page, markup = page_of(tmp_path / "a", tmp_path / "b")
    assert "They do not differ in any setting." in page
    assert [image["alt"] for image in markup.all("img")][:2] == [
        "real: a red bird",
        "drawn: a red bird",
    ]


def test_runs_of_the_same_name_are_told_apart(tmp_path):
    for name in ("x", "y"):
        write_run(tmp_path / name / "run", "tokenizer")
    runs = reading.read_all([str(tmp_path / "x" / "run"), str(tmp_path / "y" / "run")])
    assert [run.label for run in runs] == ["x/run", "y/run"]
    runs = reading.read_all([str(tmp_path / "x" / "run")] * 2)
    assert [run.label for run in runs] == ["x/run (1)", "x/run (2)"]
