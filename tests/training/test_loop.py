"""Contract: what a run computes depends on its recipe alone, not on stops or devices."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from babeldraw.errors import UserError
from babeldraw.training.keeping.checkpoints import latest_step, load_constants, load_params
from babeldraw.training.machine import Machine
from tests.training.toy import FROZEN, Toy, ToyDataset


def losses(records):
    return {
        (step, name): value
        for step, split, values in records
        for name, value in values.items()
        if split == "train" and name.endswith(("loss", "grad_norm"))
    }


def assert_bitwise_equal(left, right):
    left, right = jax.device_get((left, right))
    assert jax.tree.structure(left) == jax.tree.structure(right)
    jax.tree.map(np.testing.assert_array_equal, left, right)


class NoTokenizer(Toy):
    """Its frozen network can no longer be read."""

    def constants(self):
        raise AssertionError("A resumed run has its own copy.")


def test_resumed_run_is_bitwise_the_unbroken_one(run, tmp_path):
    whole, whole_records = run(8, name="whole", machine=Machine(checkpoint_every=2))
    _, first_records = run(5, name="broken", machine=Machine(checkpoint_every=2))
    resumed, resumed_records = run(8, name="broken", objective=NoTokenizer())
    assert int(whole.step) == int(resumed.step) == 8
    assert_bitwise_equal(whole, resumed)
    assert losses(first_records) | losses(resumed_records) == losses(whole_records)
    assert [step for step, *_ in resumed_records] == [6, 7, 8]
    # The records on disk are those of one run.
    lines = (tmp_path / "broken" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 9))
    # Asynchronous copies were of the step that they say, not of a donated buffer's successor.
    assert_bitwise_equal(load_params(str(tmp_path / "whole")), whole.params)
    run(4, name="four")
    assert_bitwise_equal(
        load_params(str(tmp_path / "whole"), step=4), load_params(str(tmp_path / "four"))
    )


def test_finished_run_returns_its_state(run, capsys):
    state, _ = run(2)
    again, records = run(2)
    assert records == []
    assert_bitwise_equal(state, again)
    assert "trained to step 2 already" in capsys.readouterr().out


@pytest.mark.parametrize("mesh", [{"data": 8}, {"data": 2, "model": 4}])
def test_one_and_eight_devices_give_the_same_losses(run, mesh):
    _, one_records = run(5, name="one")
    machine = Machine(mesh=mesh, checkpoint_every=0)
    eight, eight_records = run(5, name="eight", machine=machine, one_device=False)
    kernel = eight.params["painter"]["mlp"]["kernel"]
    assert len(kernel.sharding.device_set) == 8
    assert kernel.addressable_shards[0].data.shape == (8, 16 // mesh.get("model", 1))
    expected, found = losses(one_records), losses(eight_records)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-7), name


def test_a_checkpoint_goes_on_on_another_mesh(run):
    run(2)
    machine = Machine(mesh={"data": 2, "model": 4}, checkpoint_every=0)
    state, records = run(3, machine=machine, one_device=False)
    assert int(state.step) == 3
    assert [step for step, *_ in records] == [3]
    moment = state.optimizer_state["painter"][0].mu["mlp"]["kernel"]
    assert moment.addressable_shards[0].data.shape == (8, 4)


def test_losses_that_are_not_finite_stop_the_run_and_keep_the_last_good_checkpoint(run, tmp_path):
    with pytest.raises(
        UserError,
        match=r"step 7, where painter/loss is nan; 3 .* from step 5 on \(its examples are 4/0, 4/1",
    ):
        run(
            8,
            objective=Toy(explode_from=5),
            machine=Machine(checkpoint_every=2),
            log_every=100,  # Nothing but the checkpoint asks for the metrics.
            max_skipped_steps=3,
        )
    assert (
        latest_step(str(tmp_path / "run")) == 4
    )  # Not 6, which would be saved in the bad stretch.
    for leaf in jax.tree.leaves(load_params(str(tmp_path / "run"))):
        assert np.isfinite(leaf).all()


def test_constants_are_kept_once_and_are_no_part_of_the_state(run, tmp_path):
    state, _ = run(1)
    np.testing.assert_array_equal(load_constants(str(tmp_path / "run"))["target"], FROZEN)
    shapes = {leaf.shape for leaf in jax.tree.leaves(state)}
    assert FROZEN.shape not in shapes


def test_a_run_without_frozen_networks(run, tmp_path):
    run(1, objective=Toy(frozen=False))
    assert load_constants(str(tmp_path / "run")) == {}


def test_run_directory_explains_itself(run, tmp_path):
    _, records = run(
        4,
        eval_dataset=ToyDataset(length=3),
        eval_every=2,
        pictures_every=2,
        config_text="TRAIN_STEPS = 4\n",
    )
    directory = tmp_path / "run"
    assert (directory / "config.gin").read_text() == "TRAIN_STEPS = 4\n"
    assert json.loads((directory / "machine.json").read_text())["mesh"]["data"] == -1
    assert "params/painter/mlp/kernel" in (directory / "model-info.txt").read_text()
    assert sorted(path.name for path in (directory / "pictures").iterdir()) == [
        "rows-000002.png",
        "rows-000004.png",
        "rows.json",
    ]
    assert list((directory / "tensorboard").iterdir())
    assert [(step, split) for step, split, _ in records if split != "train"] == [
        (step, split) for step in (2, 4) for split in ("eval", "seen")
    ]


def test_the_recipe_of_the_steps_before_is_kept(run, tmp_path, capsys):
    run(1, config_text="A = 1\nB = 2\n")
    run(2, config_text="A = 1\nB = 2\n")
    assert "recipe has changed" not in capsys.readouterr().out
    run(3, config_text="A = 1\nB = 3\n")
    directory = tmp_path / "run"
    assert (directory / "config.gin").read_text() == "A = 1\nB = 3\n"
    assert (directory / "config-until-000002.gin").read_text() == "A = 1\nB = 2\n"
    said = capsys.readouterr().out
    assert "changed since config-until-000002.gin:\n-B = 2\n+B = 3\n" in said


def test_the_recipe_may_change_twice_from_one_checkpoint(run, tmp_path):
    run(2, config_text="B = 1\n")
    for number in (2, 3):  # Stopped before there was another checkpoint.
        with pytest.raises(UserError, match="ended before step 4"):
            run(4, config_text=f"B = {number}\n", train_dataset=ToyDataset(length=3))
    kept = {path.name: path.read_text() for path in (tmp_path / "run").glob("config*")}
    assert kept == {
        "config.gin": "B = 3\n",
        "config-until-000002.gin": "B = 1\n",
        "config-until-000002-2.gin": "B = 2\n",
    }


def test_metrics_are_means_over_the_window(run):
    _, each = run(4, name="each")
    _, both = run(4, name="both", log_every=2)
    means = losses(both)
    for step in (2, 4):
        pair = [losses(each)[s, "painter/loss"] for s in (step - 1, step)]
        assert means[step, "painter/loss"] == pytest.approx(sum(pair) / 2, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"objective": Toy(hidden=32)}, r"its params/painter/embed/kernel is float32\[16, 8\] and"),
        ({"seed": 1}, "started with seed 0, and this run has seed 1"),
    ],
)
def test_a_directory_of_another_recipe(run, change, sentence):
    run(1)
    with pytest.raises(UserError, match=sentence):
        run(2, **change)


@dataclasses.dataclass
class Wrong(ToyDataset):
    change: object = None

    def batches(self, **where):
        for batch in super().batches(**where):
            self.change(batch)
            yield batch


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"train_dataset": ToyDataset(length=2)}, "ended before step 3 of 4"),
        (
            {"train_dataset": Wrong(change=lambda batch: batch.pop("x"))},
            "have no 'x'.*: they have caption, index",
        ),
        (
            {"train_dataset": Wrong(change=lambda batch: batch.update(x=batch["x"][:, :4]))},
            r"'x' is float32\[16, 4\] and this objective needs float32\[16, 8\]",
        ),
        (
            {"train_dataset": ToyDataset(batch_size=12), "one_device": False},
            "batch of 12 does not divide over 8 devices",
        ),
        (
            {"eval_dataset": ToyDataset(length=0), "eval_every": 1},
            "evaluation dataset has less than one batch",
        ),
    ],
)
def test_wrong_data_gives_a_sentence(run, settings, sentence):
    with pytest.raises(UserError, match=sentence):
        run(4, **settings)
