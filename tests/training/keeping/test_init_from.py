"""Contract: a run starts from what it was told of another one, and says what it took."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import optax
import pytest
from etils import epath

from babeldraw.errors import UserError
from babeldraw.objectives.average import averaged, followers, with_average
from babeldraw.training.keeping import parameters, starting
from babeldraw.training.keeping.checkpoints import load_optimizer_state, load_params
from babeldraw.training.keeping.init_from import InitFrom, Row, Start
from babeldraw.training.keeping.manifest import hash_constants
from babeldraw.training.keeping.starting import NAME
from babeldraw.training.loop import train
from babeldraw.training.machine import Machine
from babeldraw.training.state import init_state
from tests.training.test_loop import assert_bitwise_equal
from tests.training.toy import Toy, ToyDataset

TRAINED = 2


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A run of the toy, of two steps."""
    directory = tmp_path_factory.mktemp("runs") / "other"
    start(directory, TRAINED)
    return str(directory)


def start(directory, steps, objective=None, init_from=None, **settings):
    return train(
        objective or Toy(),
        model_dir=str(directory),
        train_dataset=settings.pop("train_dataset", ToyDataset()),
        train_steps=steps,
        machine=settings.pop("machine", Machine(checkpoint_every=0)),
        log_every=1,
        init_from=init_from,
        devices=settings.pop("devices", jax.devices()[:1]),
        **settings,
    )


def at_the_start(directory):
    return load_params(str(directory), 0)


def fresh(objective):
    return jax.device_get(jax.jit(lambda: init_state(objective, 0))().params)


def table(directory):
    return [" ".join(line.split()) for line in (directory / NAME).read_text().splitlines()]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Renamed(Toy):
    """The toy under other names of its players."""

    painter: str = "artist"
    critic: str = "critic"

    def init(self, key):
        params = super().init(key)
        return {self.painter: params["painter"], self.critic: params["critic"]}

    def players(self):
        return tuple(self._renamed(player) for player in super().players())

    def _renamed(self, player):
        def loss(own, everyone, *rest):
            named = {"painter": everyone[self.painter], "critic": everyone[self.critic]}
            return player.loss(own, named, *rest)

        return dataclasses.replace(player, name=getattr(self, player.name), loss=loss)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Followed(Toy):
    """Keeps a moving average of its painter."""

    def init(self, key):
        return with_average(super().init(key), "painter", 0.5)

    def players(self):
        return *super().players(), *followers("painter", 0.5)


def test_all_that_has_the_same_name_is_taken_bit_for_bit(other, tmp_path, capsys):
    start(tmp_path / "run", 1, init_from=InitFrom(model_dir=other), seed=7)
    assert_bitwise_equal(at_the_start(tmp_path / "run"), load_params(other))
    moments = load_optimizer_state(str(tmp_path / "run"), 0)
    assert not any(np.any(array) for array in moments.values())  # fresh
    said = capsys.readouterr().out
    assert f"starts from {other}, step {TRAINED}:\n  taken 3\n" in said
    assert "taken painter/mlp/kernel [8, 16] <- painter/mlp/kernel" in table(tmp_path / "run")


def test_rules_rename_and_the_rest_starts_as_in_a_fresh_run(other, tmp_path):
    init_from = InitFrom(model_dir=other, rules=(("artist/mlp", "painter/mlp"),), fresh=("line",))
    start(tmp_path / "run", 1, Renamed(), init_from)
    found, theirs, own = at_the_start(tmp_path / "run"), load_params(other), fresh(Renamed())
    np.testing.assert_array_equal(
        found["artist"]["mlp"]["kernel"], theirs["painter"]["mlp"]["kernel"]
    )
    np.testing.assert_array_equal(
        found["artist"]["embed"]["kernel"], own["artist"]["embed"]["kernel"]
    )
    np.testing.assert_array_equal(found["critic"]["line"], own["critic"]["line"])
    rows = table(tmp_path / "run")
    assert {"fresh artist/embed/kernel [16, 8]", "unused painter/embed/kernel [16, 8]"} <= {*rows}


def test_the_average_is_taken_where_there_is_one(tmp_path):
    start(tmp_path / "other", TRAINED, Followed())
    theirs = load_params(str(tmp_path / "other"))
    average = averaged(theirs, "painter")
    assert np.any(average["mlp"]["kernel"] != theirs["painter"]["mlp"]["kernel"])
    start(tmp_path / "run", 1, Followed(), InitFrom(model_dir=str(tmp_path / "other")))
    found = at_the_start(tmp_path / "run")
    assert_bitwise_equal(found["painter"], average)
    assert_bitwise_equal(found["painter_ema"], average)


def test_of_the_other_run_what_is_taken_is_read_and_nothing_else(tmp_path, monkeypatch):
    start(tmp_path / "other", TRAINED, Followed())
    asked = []
    read = parameters.read

    def recorded(model_dir, step, names):
        asked.extend(names)
        return read(model_dir, step, names)

    monkeypatch.setattr(parameters, "read", recorded)
    start(
        tmp_path / "run", 1, init_from=InitFrom(model_dir=str(tmp_path / "other"), fresh=("mlp",))
    )
    assert sorted(asked) == ["critic/line", "painter_ema/embed/kernel"]
    found, theirs = at_the_start(tmp_path / "run"), load_params(str(tmp_path / "other"))
    for name in ("critic/line", "painter_ema/embed/kernel"):
        network, *path = name.split("/")
        ours, there = found[network.removesuffix("_ema")], theirs[network]
        for part in path:
            ours, there = ours[part], there[part]
        np.testing.assert_array_equal(ours, there)
    some = read(str(tmp_path / "other"), TRAINED, ["critic/line"])
    assert some.keys() == {"critic/line"}


def test_a_run_goes_on_bit_for_bit_without_the_other_one(other, tmp_path, capsys):
    gone = tmp_path / "gone"
    shutil.copytree(other, gone)
    asked = InitFrom(model_dir=str(gone))
    whole = start(tmp_path / "whole", 4, init_from=asked)
    with pytest.raises(UserError, match="ended before step 3"):  # As killed: nothing is saved.
        start(tmp_path / "run", 4, init_from=asked, train_dataset=ToyDataset(length=2))
    shutil.rmtree(gone)
    resumed = start(tmp_path / "run", 4, init_from=asked)
    assert "resumed from step 0" in capsys.readouterr().out
    assert_bitwise_equal(resumed, whole)
    record = json.loads((tmp_path / "run" / "manifest.json").read_text())["init_from"]
    assert (record["model_dir"], record["step"]) == (str(gone), TRAINED)
    # Nor does another start come to it without a word.
    for changed in (
        dataclasses.replace(asked, fresh=("line",)),
        dataclasses.replace(asked, step=1),
        InitFrom(model_dir=other),
    ):
        with pytest.raises(UserError, match=rf"was started from {gone}, step 2, and its recipe"):
            start(tmp_path / "run", 5, init_from=changed)
    start(tmp_path / "run", 5)
    with pytest.raises(UserError, match="was started fresh and its recipe now says another start"):
        start(other, TRAINED + 1, init_from=InitFrom(model_dir=str(tmp_path / "whole")))


def test_the_optimizer_is_kept_where_asked_and_its_schedule_begins_anew(other, tmp_path):
    init_from = InitFrom(model_dir=other, optimizer=True)
    start(tmp_path / "run", 1, init_from=init_from)
    found, theirs = load_optimizer_state(str(tmp_path / "run"), 0), load_optimizer_state(other)
    counter = "optimizer_state/painter/2/count"
    assert theirs[counter] == TRAINED and found[counter] == 0
    assert found["optimizer_state/painter/0/count"] == TRAINED  # What moments are divided by.
    for name in set(theirs) - {counter}:
        np.testing.assert_array_equal(found[name], theirs[name], err_msg=name)


def test_on_a_mesh_it_starts_from_the_same(other, tmp_path):
    machine = Machine(mesh={"data": 2, "model": 4}, checkpoint_every=0)
    state = start(
        tmp_path / "run", 1, init_from=InitFrom(model_dir=other), machine=machine, devices=None
    )
    assert state.params["painter"]["mlp"]["kernel"].addressable_shards[0].data.shape == (8, 4)
    assert_bitwise_equal(at_the_start(tmp_path / "run"), load_params(other))


@pytest.mark.parametrize(
    ("objective", "settings", "sentence"),
    [
        (Toy(), {"model_dir": "{tmp}/empty"}, "empty is not a run directory .* no run inside"),
        (Toy(), {"step": 1}, "has no checkpoint of step 1: its latest is 2"),
        (
            Renamed(critic="reader"),
            {},
            r"no parameter in common .*such as INIT_RULES = \(\('artist', 'painter'\),\)",
        ),
        (Toy(), {"rules": (("brush", "painter"),)}, "this run has no 'brush'; give names such as"),
        (Toy(), {"rules": (("painter", "brush"),)}, "other has no 'brush'; give names such as"),
        (Toy(), {"rules": (("critic", "painter"),)}, "what is below the two has other names"),
        (Toy(), {"fresh": ("brush",)}, "INIT_FRESH has 'brush', and this run has no such"),
        (
            Toy(hidden=32),
            {"resize": True},
            r"painter/embed/kernel is \[16, 8\] there and \[32, 8\] here; .*say what starts fresh, "
            r"such as INIT_FRESH = \('embed', 'mlp'\)",
        ),
        (
            Toy(),
            {"optimizer": True, "fresh": ("line",)},
            "critic/line is not: leave INIT_OPTIMIZER",
        ),
    ],
)
def test_what_cannot_be_started_from_is_refused(other, tmp_path, objective, settings, sentence):
    settings = {"model_dir": other} | settings
    settings["model_dir"] = settings["model_dir"].format(tmp=tmp_path)
    with pytest.raises(UserError, match=sentence):
        start(tmp_path / "run", 1, objective, InitFrom(**settings))
    assert not (tmp_path / "run").exists()


def test_another_optimizer_cannot_be_kept(other, tmp_path):
    class Plain(Toy):
        def players(self):
            return tuple(
                dataclasses.replace(p, optimizer=optax.adam(0.1)) for p in super().players()
            )

    with pytest.raises(UserError, match=r"its optimizer_state/critic/0/count is missing, and this"):
        start(tmp_path / "run", 1, Plain(), InitFrom(model_dir=other, optimizer=True))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"fresh": "logits"}, r"such as \('logits',\)"),
        ({"rules": ("a", "b")}, "give pairs of names, ours and theirs"),
        ({"model_dir": "", "resize": True}, "that INIT_FROM names: set it"),
    ],
)
def test_settings_that_are_not_written_as_they_should(settings, sentence):
    with pytest.raises(UserError, match=sentence):
        InitFrom(**({"model_dir": "other"} | settings))


def test_what_was_said_to_start_fresh_may_differ(other, tmp_path):
    objective = Toy(hidden=32)
    start(tmp_path / "run", 1, objective, InitFrom(model_dir=other, fresh=("painter",)))
    found = at_the_start(tmp_path / "run")
    np.testing.assert_array_equal(found["critic"]["line"], load_params(other)["critic"]["line"])
    assert_bitwise_equal(found["painter"], fresh(objective)["painter"])
    row = "shape differs painter/mlp/kernel [8, 32] <- painter/mlp/kernel ([8, 16] there)"
    assert row in table(tmp_path / "run")


def test_a_folder_with_one_run_of_this_objective_inside(other, tmp_path):
    shutil.copytree(other, tmp_path / "runs" / "one")
    init_from = InitFrom(model_dir=str(tmp_path / "runs"))
    start(tmp_path / "run", 1, init_from=init_from)
    assert_bitwise_equal(at_the_start(tmp_path / "run"), load_params(other))
    shutil.copytree(other, tmp_path / "runs" / "two")
    with pytest.raises(UserError, match="holds 2 runs; name one of those inside in INIT_FROM"):
        start(tmp_path / "again", 1, init_from=init_from)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ("decoder", "beside another decoder of the tokenizer, for the same tokens"),
        ("codebook", "beware: frozen networks are others than that run's (1 arrays"),
    ],
)
def test_it_is_said_whether_tokens_mean_the_same(tmp_path, other, says):
    ours = {"tokenizer": {name: {"kernel": np.ones(2)} for name in ("decoder", "codebook")}}
    theirs = hash_constants(ours)
    ours["tokenizer"][other]["kernel"] = np.zeros(2)
    rows = (Row("taken", "text_to_image/kernel", (2,)),)
    start = Start({}, {}, rows, {"run": "there", "step": 1}, theirs)
    starting.tell_start(epath.Path(tmp_path), start, ours)
    assert says in (tmp_path / "init_from.txt").read_text()
