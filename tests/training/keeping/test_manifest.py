"""Contract: a run goes on with what it was made with, or says what is another."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from etils import epath

from babeldraw.errors import UserError
from babeldraw.training.keeping.checkpoints import load_constants, save_constants
from babeldraw.training.keeping.manifest import (
    NAME,
    Manifest,
    check_vocabulary,
    keep_manifest,
    origins,
    read_manifest,
)
from tests.training.keeping.test_remote_directories import bucket  # noqa: F401
from tests.training.keeping.test_vocabulary import Captioned, Reading
from tests.training.toy import FROZEN, Toy, ToyDataset


@dataclasses.dataclass(frozen=True)
class Source:
    origin: str
    scale: float = 1.0

    def __call__(self):
        if self.origin == "gone":
            raise UserError("There is no checkpoint in gone: give another.")
        return {"target": FROZEN * np.float32(self.scale)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Imitator(Toy):
    source: Source

    def constants(self):
        return self.source()


@dataclasses.dataclass
class Pictures(ToyDataset):
    data: Any = None

    def fingerprint(self):
        return {"task": "folder:/a", "split": "train", "pictures": 9, "names": "12"} | self.data


def imitator(*settings):
    return Imitator(source=Source(*settings))


def written(tmp_path):
    return json.loads((tmp_path / "run" / NAME).read_text())


def test_what_a_run_was_made_with_is_written_down(run, tmp_path):
    run(1, objective=imitator("runs/tokenizer"), train_dataset=Pictures(data={}))
    found = written(tmp_path)
    assert found["format"] == 1
    assert found["data"] == {"task": "folder:/a", "split": "train", "pictures": 9, "names": "12"}
    assert found["origins"] == {"source": "runs/tokenizer"}
    assert list(found["constants"]) == ["target"]
    assert found["vocabulary"] is None


def test_origins_are_found_in_fields_of_fields():
    @dataclasses.dataclass
    class Outer:
        inner: Any
        other: Any = None

    assert origins(Outer(Outer(Source("a")), Source("b"))) == {"inner.inner": "a", "other": "b"}


def test_another_frozen_network_is_refused(run, capsys):
    run(1, objective=imitator("one"))
    says = "come from one, and those of two are others: name those of before .TOKENIZER_CHECKPOINT"
    with pytest.raises(UserError, match=says):
        run(2, objective=imitator("two", 2.0))
    says = "those of gone cannot be compared with them .There is no checkpoint in gone: give ano"
    with pytest.raises(UserError, match=says):
        run(2, objective=imitator("gone"))
    # The same from elsewhere; and where it came from, it may be another by now, or nothing.
    run(2, objective=imitator("moved"))
    assert "networks of moved are those of one, which the run has kept" in capsys.readouterr().out
    run(3, objective=imitator("moved", 3.0))


def test_other_data_are_refused_unless_asked_for(run, tmp_path, capsys):
    def go_on(steps, **changed):
        allow = changed.pop("allow_other_data", False)
        run(steps, train_dataset=Pictures(data=changed), allow_other_data=allow)

    go_on(1)
    with pytest.raises(UserError, match=r"\(pictures: 9 before, 8 now; names: 12 before, 13 now\)"):
        go_on(2, pictures=8, names="13")
    with pytest.raises(UserError, match=r"set loop\.train\.allow_other_data=True"):
        go_on(2, names="13")
    assert written(tmp_path)["data"]["names"] == "12"
    go_on(2, names="13", allow_other_data=True)
    assert "the data have changed (names: 12 before, 13 now)" in capsys.readouterr().out
    assert written(tmp_path)["data"]["names"] == "13"
    # A folder that has moved is the same.
    go_on(3, names="13", task="folder:/b")
    assert "task: folder:/a before, folder:/b now" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"\(fit: the default before, pad now\)"):
        go_on(4, names="13", task="folder:/b", fit="pad")
    # Without names, another task may be anything.
    go_on(4, names=None, allow_other_data=True)
    with pytest.raises(UserError, match="task: folder:/a before, folder:/c now"):
        go_on(5, names=None, task="folder:/c")


def test_a_lost_vocabulary_comes_back_and_another_is_refused_all_the_same(run, tmp_path):
    run(1, objective=Reading(), train_dataset=Captioned())
    directory = epath.Path(tmp_path / "run")
    kept = tmp_path / "run" / "vocabulary.model"
    check_vocabulary(directory)
    kept.write_bytes(b"two")
    with pytest.raises(UserError, match="is not what the run was trained with"):
        check_vocabulary(directory)
    kept.unlink()
    with pytest.raises(UserError, match="set BABELDRAW_VOCABULARY"):
        run(2, objective=Reading(), train_dataset=Captioned(vocabulary_model=b"two"))
    run(2, objective=Reading(), train_dataset=Captioned())
    assert kept.read_bytes() == b"one"


def test_damaged_constants_are_found(run, tmp_path):
    run(1)
    directory = str(tmp_path / "run")
    save_constants(directory, {"target": FROZEN + 1})
    with pytest.raises(UserError, match=r"frozen networks in .*constants are damaged \(they are"):
        load_constants(directory)
    with pytest.raises(UserError, match="are damaged"):
        run(2)
    save_constants(directory, {"target": FROZEN})
    np.testing.assert_array_equal(load_constants(directory)["target"], FROZEN)
    for file in (tmp_path / "run" / "constants").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:10])
    with pytest.raises(UserError, match="are damaged"):
        load_constants(directory)


def test_a_run_of_before_gets_a_manifest(run, tmp_path):
    run(1)
    path = tmp_path / "run" / NAME
    path.unlink()
    np.testing.assert_array_equal(load_constants(str(path.parent))["target"], FROZEN)
    run(2)
    assert [*written(tmp_path)["constants"]] == ["target"]


def test_another_version_is_named(run, tmp_path, capsys):
    run(1)
    path = tmp_path / "run" / NAME
    path.write_text(json.dumps(written(tmp_path) | {"babeldraw": "0.0.1"}))
    run(2)
    assert "trained by Babeldraw 0.0.1 before, by" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is damaged"),
        ("[]", "is damaged"),
        ("{}", "is damaged"),
        ('{"format": 1, "os": 2}', "is damaged"),
        ('{"format": 2}', "is not in format 1: use a later Babeldraw"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, text, says):
    (tmp_path / NAME).write_text(text)
    with pytest.raises(UserError, match=says):
        read_manifest(epath.Path(tmp_path))


def test_in_a_bucket(bucket):  # noqa: F811
    remote, here = bucket
    objective, constants = imitator("gs://b/tokenizer"), {"target": FROZEN}
    resumed = {"resumed": False, "allow_other_data": False}
    keep_manifest(remote, objective, constants, Pictures(data={}), **resumed)
    assert (Path(here) / NAME).is_file()
    found = read_manifest(remote)
    assert isinstance(found, Manifest)
    assert found.origins == {"source": "gs://b/tokenizer"}
    with pytest.raises(UserError, match="The data are not those that gs://b was trained with"):
        keep_manifest(
            remote, objective, constants, Pictures(data={"names": "13"}), **resumed | {"resumed": 1}
        )
