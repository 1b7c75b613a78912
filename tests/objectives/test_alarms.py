"""Contract: sick runs are told from healthy ones by their figures."""

import json
from pathlib import Path

import pytest

from babeldraw.objectives import alarms
from babeldraw.objectives.alarms import Plan
from tests.objectives import tiny_runs

HISTORIES = json.loads(Path(__file__).with_name("alarm_histories.json").read_text())
SICK = {
    "captions of other pictures": {"prompt_gap"},
    "one caption for all": {"captions_alike", "prompt_gap"},
    "36 pictures": {"small_set", "memorising", "prompt_gap"},
    "8,192 codes": {"codebook"},
}
OF_DATA = {"small_set", "captions_alike"}

PLAN = Plan(train_steps=1000, batch_size=16, pictures=400)


def gaps(held_out, seen, step=500):
    return {"prompt_gap": {"eval": [(step, held_out)], "seen": [(step, seen)]}}


def test_prompts_that_are_not_read():
    (alarm,) = alarms.prompts_unread(gaps(0.02, 0.01), PLAN)
    assert alarm.kind == "prompt_gap"
    assert alarm.message == (
        "the prompt is worth 0.020 nats a token on held-out pictures and 0.010 on seen ones (alarm "
        "below 0.05 on held-out ones): captions are not read; see in `babeldraw data inspect` that "
        "captions belong to their pictures, and that they say what is on them, train longer, or "
        "set PICTURE_DROPOUT_RATE to 0.2"
    )
    (by_heart,) = alarms.prompts_unread(gaps(-0.3, 0.4), PLAN)
    assert "learned by heart" in by_heart.message
    assert alarms.prompts_unread(gaps(0.06, 0.0), PLAN) == []
    assert alarms.prompts_unread(gaps(0.0, 0.0, step=200), PLAN) == []  # too early to say


def test_unused_codes_come_again_and_what_is_set_is_not_advised():
    history = {"codebook_usage": {"eval": [(100, 0.1), (500, 0.3)]}}
    (alarm,) = alarms.codes_unused(history, PLAN, 0.4, 512, revive_every=0)
    assert alarm.message == (
        "only 30.0% of the 512 codes are in use (alarm below 40%): set REVIVE_EVERY to 20, or "
        "lower CODEBOOK_SIZE, code_dim or the learning rate"
    )
    (revived,) = alarms.codes_unused(history, PLAN, 0.4, 512, revive_every=20)
    assert "REVIVE_EVERY" not in revived.message and "lower CODEBOOK_SIZE" in revived.message
    assert alarms.codes_unused(history, PLAN, 0.3, 512, 0) == []
    seen = history["codebook_usage"] | {"seen": [(500, 0.5)]}  # of more pictures
    assert alarms.codes_unused({"codebook_usage": seen}, PLAN, 0.4, 512, 0) == []
    history["codebook_usage"]["eval"].append((1000, 0.2))
    assert len(alarms.codes_unused(history, PLAN, 0.4, 512, 0)) == 1


def turning(held_out, seen, name="loss"):
    steps = range(100, 100 * len(held_out) + 1, 100)
    return {
        name: {
            "eval": list(zip(steps, held_out, strict=True)),
            "seen": list(zip(steps, seen, strict=True)),
        }
    }


def test_memorising_names_the_best_step():
    history = turning([5.0, 4.0, 4.5, 4.8], [4.9, 3.5, 3.0, 2.0])
    (alarm,) = alarms.memorised(history, "loss", rises=False)
    assert alarm.kind == "memorising"
    assert "loss of held-out pictures was best at step 200 (4; 4.8 now)" in alarm.message
    assert "set TRAIN_STEPS to about 200" in alarm.message


@pytest.mark.parametrize(
    ("held_out", "seen"),
    [
        ([5.0, 4.0, 4.5], [4.9, 3.5, 3.0]),  # once is chance
        ([5.0, 4.0, 4.3, 4.35], [4.9, 3.5, 3.0, 2.0]),  # within a tenth
        ([5.0, 4.0, 4.5, 4.05], [4.9, 3.5, 3.0, 2.0]),  # back again
        ([5.0, 4.0, 4.5, 4.8], [4.9, 3.5, 3.6, 3.8]),  # seen ones get worse, too: no memorising
        ([5.0, 4.0, 3.9, 3.8], [4.9, 3.5, 3.0, 2.0]),
    ],
)
def test_what_is_no_memorising(held_out, seen):
    assert alarms.memorised(turning(held_out, seen), "loss", rises=False) == []


def test_figures_that_rise_turn_downwards():
    fell = turning([18.0, 20.0, 19.0, 18.5], [18.0, 20.0, 23.0, 25.0], "psnr")
    (alarm,) = alarms.memorised(fell, "psnr", rises=True)
    assert "best at step 200 (20; 18.5 now)" in alarm.message
    rose = turning([18.0, 20.0, 21.0, 22.0], [18.0, 20.0, 23.0, 25.0], "psnr")
    assert alarms.memorised(rose, "psnr", rises=True) == []


def test_figures_that_were_never_finite_raise_nothing():
    """Steps that are not finite have an end of their own."""
    assert tiny_runs.text_to_image().alarms({}, PLAN) == []
    assert tiny_runs.tokenizer().alarms({"psnr": {"eval": []}}, PLAN) == []


def test_a_set_that_is_too_small_by_the_stated_rule():
    few = Plan(train_steps=1000, batch_size=16, pictures=80)  # 200 passes
    (alarm,) = alarms.set_too_small(few, parameters=1_000_000, tokens=64)
    assert alarm.message == (
        "80 pictures are few for 1,000,000 parameters and 1,000 steps: 195 parameters for each "
        "token to learn (alarm above 10), each picture 200 times (alarm above 50), so it "
        "will learn them by heart: it may draw their captions well, and will hardly draw others; "
        "take more pictures or a smaller model"
    )
    assert alarms.set_too_small(few, parameters=10 * 80 * 64, tokens=64) == []
    assert alarms.set_too_small(Plan(250, 16, 80), 1_000_000, 64) == []
    assert alarms.set_too_small(Plan(1000, 16, None), 1_000_000, 64) == []


def test_captions_that_are_all_alike():
    (alarm,) = alarms.captions_alike(["photo"] * 3 + ["a red cat", "a dog"])
    assert alarm.message.startswith("3 of the first 5 captions are all 'photo'")
    assert alarms.captions_alike(["photo"] * 2 + ["a red cat", "a dog"]) == []
    assert alarms.captions_alike(["photo"]) == []


def test_objectives_raise_the_alarms_of_their_figures():
    text_to_image, tokenizer = tiny_runs.text_to_image(), tiny_runs.tokenizer(usage_alarm=0.9)
    history = gaps(0.0, 0.0) | turning([5.0, 4.0, 4.5, 4.8], [4.9, 3.5, 3.0, 2.0])
    assert kinds(text_to_image.alarms(history, PLAN)) == ["prompt_gap", "memorising"]
    few = Plan(1000, 16, pictures=16)
    said = text_to_image.alarms_of_data(few, ["photo"] * 9)
    assert kinds(said) == ["small_set", "captions_alike"]
    history = {"codebook_usage": {"eval": [(500, 0.8)]}}
    history |= turning([20.0, 22.0, 18.0, 18.0], [20.0, 22.0, 23.0, 24.0], "psnr")
    assert kinds(tokenizer.alarms(history, PLAN)) == ["codebook", "memorising"]
    assert tokenizer.alarms_of_data(few, []) == []


@pytest.mark.parametrize("name", HISTORIES)
def test_recorded_runs_raise_what_they_raised_and_healthy_ones_nothing(name):
    """Figures and alarms of what `python -m benchmarks.alarms` trained."""
    run = HISTORIES[name]
    plan = Plan(run["train_steps"], run["batch_size"], run["pictures"])
    is_tokenizer = "psnr" in run["history"]
    objective = tiny_runs.tokenizer() if is_tokenizer else tiny_runs.text_to_image()
    found = {}
    for step, _ in next(iter(run["history"].values()))["eval"]:
        until = {
            figure: {
                split: [point for point in points if point[0] <= step]
                for split, points in splits.items()
            }
            for figure, splits in run["history"].items()
        }
        for kind in kinds(objective.alarms(until, plan)):
            found.setdefault(kind, []).append(step)
    raised = {kind: steps for kind, steps in run["alarms"].items() if kind not in OF_DATA}
    assert found == raised
    assert set(run["alarms"]) == SICK.get(name, set())


def kinds(said):
    return [alarm.kind for alarm in said]
