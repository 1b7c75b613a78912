"""Contract: a run is looked at with the same pictures every time, and says what is wrong."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from PIL import Image

from babeldraw.evaluation.reporting import reading, sections, sheets
from babeldraw.objectives.alarms import Alarm
from babeldraw.training.loop import train
from babeldraw.training.machine import Machine
from babeldraw.training.watching.looks import SHOWN
from tests.training.toy import WIDTH, Toy, ToyDataset


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Captioned(Toy):
    """Reads texts; its sheet is the noise that it was given, beside its rows."""

    def batch_shapes(self, batch_size):
        text = jax.ShapeDtypeStruct((batch_size, 3), np.int32)
        return super().batch_shapes(batch_size) | {"text_tokens": text}

    def pictures(self, params, constants, batch, key):
        noise = jax.random.randint(key, (len(batch["x"]), 1, WIDTH, WIDTH, 3), 0, 256)
        rows = jax.numpy.broadcast_to(batch["x"][:, None, :, None, None], noise.shape)
        sheet = jax.numpy.concatenate([noise, 40 * rows + 128], axis=1)
        return {"samples": sheet.astype(jax.numpy.uint8)}

    def sheet_columns(self):
        return {"samples": ("noise", "rows")}

    def alarms(self, history, plan):
        steps = [step for step, _ in history["error"]["eval"]]
        return [Alarm("always", f"{len(steps)} evaluations of {plan.train_steps} steps")]

    def alarms_of_data(self, plan, captions):
        return [Alarm("data", f"{plan.pictures} pictures, {len(captions)} captions: {captions[0]}")]


class Texts(ToyDataset):
    """Row r of batch k has the text tokens k, r and padding; the held-out ones begin at 100."""

    first = 0

    class vocabulary:
        decode = staticmethod(lambda ids: "-".join(map(str, ids)))

    def fingerprint(self):
        return {"task": "toy", "split": "train", "pictures": 77, "names": None}

    def batches(self, *, process_index=0, process_count=1, start_step=0, num_epochs=None):
        share = {"process_index": process_index, "process_count": process_count}
        for step, batch in enumerate(super().batches(start_step=start_step, **share), start_step):
            rows = np.arange(len(batch["x"])) + process_index * len(batch["x"])
            number = np.full_like(rows, self.first + step + 1)
            tokens = np.stack([number, rows + 1, np.zeros_like(rows)], axis=1)
            yield batch | {"text_tokens": tokens.astype(np.int32)}


class HeldOut(Texts):
    first = 99


@pytest.fixture
def looked_at(run, tmp_path):
    def start(train_steps, **settings):
        settings = {"eval_every": 2, "pictures_every": 2, "eval_batches": 2} | settings
        run(
            train_steps,
            objective=Captioned(),
            train_dataset=Texts(),
            eval_dataset=HeldOut(length=3),
            **settings,
        )
        return tmp_path / "run"

    return start


def test_the_same_held_out_and_seen_rows_are_drawn_with_the_same_noise(looked_at):
    pictures = looked_at(4) / "pictures"
    said = json.loads((pictures / "samples.json").read_text())
    assert said["columns"] == ["noise", "rows"]
    assert said["rows"] == [
        {"split": split, "prompt": f"{batch}-{row + 1}"}
        for split, batch in (("eval", 100), ("seen", 1))
        for row in range(SHOWN)
    ]
    first, second = (
        np.asarray(Image.open(pictures / f"samples-{step:06d}.png")) for step in (2, 4)
    )
    np.testing.assert_array_equal(first, second)
    cell, across = said["cell"], 2 * (said["cell"]["width"] + said["cell"]["line"])
    assert first.shape[1] == across + cell["line"]

    def shown(row, column):
        top, left = (
            cell["line"] + place * (cell[size] + cell["line"])
            for place, size in ((row, "height"), (column, "width"))
        )
        return first[top : top + cell["height"], left : left + cell["width"]]

    x = next(ToyDataset().batches())["x"]  # both datasets have the same rows
    for row in (0, SHOWN - 1, SHOWN, 2 * SHOWN - 1):
        grey = np.float32(40) * x[row % SHOWN] + 128
        expected = np.repeat(grey.astype(np.uint8), cell["height"] // WIDTH)
        np.testing.assert_array_equal(shown(row, 1)[:, 0, 0], expected)
    assert shown(0, 0).std() > 50


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classed(Toy):
    """Takes classes; draws grey."""

    def batch_shapes(self, batch_size):
        number = jax.ShapeDtypeStruct((batch_size,), np.int32)
        return super().batch_shapes(batch_size) | {"class_id": number}


class Classes(ToyDataset):
    def class_names(self):
        return ("ant", "bee", "cow")

    def batches(self, **where):
        for batch in super().batches(**where):
            yield batch | {"class_id": np.arange(len(batch["x"]), dtype=np.int32) % 3}


def test_classes_are_kept_and_stand_where_prompts_do(run, tmp_path):
    run(1, objective=Classed(), train_dataset=Classes(), pictures_every=1)
    said = json.loads((tmp_path / "run" / "pictures" / "rows.json").read_text())
    assert [row["prompt"] for row in said["rows"]] == ["ant", "bee", "cow", "ant"]
    assert (tmp_path / "run" / "classes.txt").read_text() == "ant\nbee\ncow\n"


def test_a_report_reads_what_a_run_leaves(looked_at):
    directory = looked_at(4)
    run = reading.read(str(directory))
    assert (run.step, len(run.starts)) == (4, 1)
    assert [(alarm.kind, alarm.first, alarm.last) for alarm in run.alarms] == [
        ("data", 0, 0),
        ("always", 2, 4),
    ]
    shown = sheets.read(str(directory), "samples", 4).shown
    assert {split: len(rows) for split, rows in shown.items()} == {"eval": SHOWN, "seen": SHOWN}
    assert shown["seen"][1].caption == "1-2"
    assert [label for label, _ in shown["seen"][1].pictures] == ["noise", "rows"]
    page = sections.report([run])
    assert 'alt="noise: 100-1"' in page and "Alarm at step 2 to 4: 2 evaluations of 4" in page


def test_seen_pictures_are_evaluated_as_held_out_ones(looked_at):
    """Texts are no part of the loss, and both datasets have the same rows."""
    found = lines(looked_at(2) / "metrics.jsonl")
    held_out, seen = (
        next(r for r in found if r["split"] == split)["error"] for split in ("eval", "seen")
    )
    assert held_out == pytest.approx(seen, rel=1e-6)


def test_alarms_are_printed_and_kept_and_those_of_lost_steps_dropped(looked_at, capsys):
    directory = looked_at(4)
    data = {"kind": "data", "message": "77 pictures, 32 captions: 1-1"}
    always = [{"kind": "always", "message": f"{n} evaluations of 4 steps"} for n in (1, 2)]
    assert lines(directory / "alarms.jsonl") == [
        {"step": 0, **data},
        {"step": 2, **always[0]},
        {"step": 4, **always[1]},
    ]
    said = capsys.readouterr().out
    assert "alarm at step 0: 77 pictures, 32 captions: 1-1\n" in said
    assert "alarm at step 4: 2 evaluations of 4 steps\n" in said
    # As where a run was killed between an evaluation and the checkpoint.
    with (directory / "alarms.jsonl").open("a") as file:
        file.write('{"step": 6, "kind": "lost", "message": ""}\n')
    looked_at(6)
    assert [line["step"] for line in lines(directory / "alarms.jsonl")] == [0, 2, 4, 4, 6]


def test_nothing_is_compiled_or_sent_twice(looked_at, monkeypatch):
    traced, put = [], []
    evaluate, pictures = Captioned.evaluate, Captioned.pictures
    monkeypatch.setattr(Captioned, "evaluate", lambda *a: traced.append("e") or evaluate(*a))
    monkeypatch.setattr(Captioned, "pictures", lambda *a: traced.append("p") or pictures(*a))
    device_put = jax.device_put
    monkeypatch.setattr(jax, "device_put", lambda *a, **k: put.append(a) or device_put(*a, **k))
    looked_at(2)
    once = len(put)
    assert sorted(traced) == ["e", "p"]
    put.clear()
    looked_at(8, name="longer")
    assert sorted(traced) == ["e", "e", "p", "p"]
    assert len(put) == once


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pencilled(Captioned):
    """Draws with an array that nothing else reads."""

    def constants(self):
        return super().constants() | {"pencil": np.full((5, 7), 200, np.float32)}

    def held(self, constants):
        return {"target": constants["target"]}

    def pictures(self, params, constants, batch, key):
        samples = super().pictures(params, constants, batch, key)["samples"]
        return {"samples": jax.numpy.full_like(samples, constants["pencil"][4, 6])}

    def summarize(self, means):
        assert (5, 7) not in [array.shape for array in jax.live_arrays()]
        return super().summarize(means)


def test_what_only_pictures_read_is_on_the_devices_only_for_them(run, tmp_path):
    run(
        3,
        objective=Pencilled(),
        train_dataset=Texts(),
        eval_dataset=HeldOut(length=3),
        eval_every=1,
        pictures_every=1,
    )
    for step in (1, 3):
        sheet = Image.open(tmp_path / "run" / "pictures" / f"samples-{step:06d}.png")
        assert (np.asarray(sheet) == 200).mean() > 0.5


def test_a_run_without_evaluation_reads_no_seen_pictures_for_it(run, tmp_path):
    run(2, objective=Captioned(), train_dataset=Texts(), pictures_every=1)
    said = json.loads((tmp_path / "run" / "pictures" / "samples.json").read_text())
    assert {row["split"] for row in said["rows"]} == {"seen"}
    assert not (tmp_path / "run" / "alarms.jsonl").exists()


def test_every_mesh_shows_the_same_rows(looked_at, tmp_path):
    """Eight groups of rows, and so many rows at least."""
    shown = []
    for name, count in (("one", 1), ("eight", 8)):
        train(
            Captioned(),
            model_dir=str(tmp_path / name),
            train_dataset=Texts(),
            eval_dataset=HeldOut(length=3),
            train_steps=1,
            machine=Machine(checkpoint_every=0),
            pictures_every=1,
            devices=jax.devices()[:count],
        )
        pictures = tmp_path / name / "pictures"
        shown.append((pictures / "samples-000001.png").read_bytes())
        shown.append((pictures / "samples.json").read_text())
    assert shown[:2] == shown[2:]
