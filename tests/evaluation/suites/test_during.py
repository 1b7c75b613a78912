"""Contract: a small suite is drawn and scored while a run trains, with the weights as they are."""

import dataclasses

import numpy as np
import pytest

from babeldraw.data.picture_files.view import PLAIN
from babeldraw.data.vocabulary import EMOJI_VOCABULARY, load_vocabulary
from babeldraw.errors import UserError
from babeldraw.evaluation.suites import during
from babeldraw.evaluation.suites.during import SuiteInTraining
from babeldraw.objectives.base import NotOffered
from babeldraw.parallel.mesh import one_device
from babeldraw.sampling.groups import Rows
from babeldraw.training.state import TrainState
from babeldraw.training.watching.suite import score_suite


@dataclasses.dataclass
class Model:
    condition_shape: tuple = (16,)


@dataclasses.dataclass
class Tokenizer:
    image_size: int = 32


@dataclasses.dataclass
class Sampler:
    params: object
    tokenizer_params: object
    model: Model = dataclasses.field(default_factory=Model)
    tokenizer: Tokenizer = dataclasses.field(default_factory=Tokenizer)

    def with_weights(self, params, tokenizer_params):
        return dataclasses.replace(self, params=params, tokenizer_params=tokenizer_params)


class Objective:
    """Draws the real picture of every prompt, or black where its weight is 0."""

    abstract_params = {"player": {}}  # noqa: RUF012

    def abstract_constants(self):
        return {"tokenizer": {}}

    def sampler(self, networks, **settings):
        return Sampler(networks["player"], networks["tokenizer"])


class Dataset:
    view = PLAIN
    vocabulary = load_vocabulary(str(EMOJI_VOCABULARY))

    def class_names(self):
        return ()


class Looked:
    objective, mesh, batches = Objective(), one_device(), {}

    def all_constants(self):
        return {"tokenizer": "frozen"}


@pytest.fixture
def scorer(monkeypatch):
    made = SuiteInTraining(name="emoji", every=10, limit=6).open(Objective(), Dataset())

    def draw_rows(sampler, prompts, numbers, *, on_batch):
        assert sampler.tokenizer_params == "frozen" and prompts.shape == (6, 16)
        real = np.stack(list(made.references))
        on_batch(0, Rows(real if sampler.params else np.zeros_like(real), None, None))

    monkeypatch.setattr(during, "draw_rows", draw_rows)
    return made


def test_the_weights_of_now_draw(scorer):
    assert scorer({"player": 1, "tokenizer": "frozen"}) == {"right": 1.0}
    assert scorer({"player": 0, "tokenizer": "frozen"})["right"] < 0.5


def test_a_record_of_its_own_split(scorer, monkeypatch):
    monkeypatch.setattr(SuiteInTraining, "open", lambda self, objective, dataset: scorer)
    looked = Looked()
    looked.batches = {"seen": type("Batches", (), {"dataset": Dataset()})}
    monkeypatch.setattr(
        during.Scorer, "__call__", lambda self, networks: {"right": networks["player"]}
    )
    records = []
    suite = SuiteInTraining(name="emoji", every=10)
    (hook,) = score_suite(suite, looked, lambda *record: records.append(record))
    assert hook.every == 10
    monkeypatch.setattr(
        "babeldraw.training.watching.suite.in_sequence", lambda params, boxes: params
    )
    hook(20, TrainState(step=20, params={"player": 0.5}, optimizer_state={}))
    assert records == [(20, "suite", {"right": 0.5})]
    assert score_suite(None, looked, print) == []
    assert score_suite(dataclasses.replace(suite, every=0), looked, print) == []


def test_without_a_name_there_is_none():
    assert SuiteInTraining(every=10).open(Objective(), Dataset()) is None


def test_what_cannot_be_scored_is_said_before_the_first_step(tmp_path, monkeypatch):
    (tmp_path / "p.txt").write_text("a cook\n")
    suite = SuiteInTraining(name=str(tmp_path / "p.txt"), every=10)
    with pytest.raises(UserError, match="its prompts have no real pictures that drawings could"):
        suite.open(Objective(), Dataset())
    with pytest.raises(UserError, match="there is no suite 'emojy'"):
        dataclasses.replace(suite, name="emojy").open(Objective(), Dataset())

    def sampler(self, networks, **settings):
        raise NotOffered("draws no pictures", "a text-to-image run")

    monkeypatch.setattr(Objective, "sampler", sampler)
    with pytest.raises(UserError, match=r"a run of this kind draws no pictures; set it in a text"):
        dataclasses.replace(suite, name="emoji").open(Objective(), Dataset())
