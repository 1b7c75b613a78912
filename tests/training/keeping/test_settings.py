"""Contract: settings come back as they were, and no file makes anything but Babeldraw's classes."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Literal

import jax.numpy as jnp
import pytest
from etils import epath

from babeldraw.errors import UserError
from babeldraw.models.super_resolution import SuperResolver
from babeldraw.ranges import FloatType, Weight
from babeldraw.training.keeping.settings import (
    NAME,
    class_name,
    from_data,
    read_settings,
    to_data,
    write_settings,
)
from tests.training.toy import Toy, ToyDataset


@dataclasses.dataclass(frozen=True)
class Inner:
    kind: Literal["one", "two"]


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Inner | None
    lengths: Mapping[str, int]
    rate: Weight = 0.5
    sizes: tuple[int, ...] = ()
    dtype: FloatType = jnp.bfloat16
    make: Callable[..., int] = len

    def __post_init__(self):
        if self.rate > 9:
            raise ValueError("rate is too large")


KNOWN = {class_name(cls): cls for cls in (Inner, Outer, SuperResolver)}
GOOD = {"class": class_name(Outer), "inner": None, "lengths": {}}


def back(value):
    return from_data(json.loads(json.dumps(to_data(value))), KNOWN, "here")


def test_what_is_written_is_read():
    value = Outer(Inner("two"), {"text": 3}, rate=1, sizes=(4, 5), dtype="float32")
    found = back(value)
    assert dataclasses.replace(found, make=len) == value
    assert found.make.name == "builtins:len"
    with pytest.raises(UserError, match="builtins:len is a function of the run's recipe"):
        found.make()
    # Types of numbers are kept by name.
    assert jnp.dtype(back(Outer(None, {})).dtype) == jnp.bfloat16
    network = SuperResolver(factor=4, dtype="float32")
    assert back(network) == network


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"class": "os:system"}, "here is of the class 'os:system', which this Babeldraw does not"),
        ({"class": "posix.system"}, "is of the class 'posix.system'"),
        ({"class": ["x"]}, "is of the class"),
        ({"class": None}, "is of the class 'None'"),
        ({"__class__": "x"}, "has a field '__class__', which tests.*Outer does not have"),
        ({"rate": "1"}, "here.rate is 1, and it takes a number, 0 or more: bring"),
        ({"rate": None}, "here.rate is None"),
        ({"rate": True}, "here.rate is True"),
        ({"rate": -1}, "here.rate is -1"),
        ({"rate": 10}, "cannot be a tests.*Outer: rate is too large"),
        ({"dtype": "no such"}, "here.dtype is no such"),
        ({"dtype": 3}, "here.dtype is 3"),
        ({"lengths": {"text": 0.5}}, "here.lengths is"),
        ({"lengths": {"class": "os:system"}}, "here.lengths is of the class"),
        ({"inner": {"class": class_name(Inner), "kind": "three"}}, "here.inner.kind is three"),
        ({"inner": {"class": class_name(Inner)}}, "here.inner cannot be a .*missing"),
        ({"inner": {"function": "os:system"}}, "here.inner is"),
        ({"make": "os.system"}, "here.make is os.system"),
    ],
)
def test_what_is_not_of_ours_is_refused(change, says):
    with pytest.raises(UserError, match=says) as error:
        from_data(GOOD | change, KNOWN, "here")
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is damaged"),
        ("{", "is damaged"),
        ("[" * 100_000, "is damaged"),
        ("1" * 5000, "is damaged"),
        ("[]", "is not in format 1"),
        ('{"format": 2}', "is not in format 1"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, text, says):
    (tmp_path / NAME).write_text(text)
    with pytest.raises(UserError, match=says):
        read_settings(epath.Path(tmp_path))
    (tmp_path / NAME).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is damaged"):
        read_settings(epath.Path(tmp_path))


def test_a_run_of_before_says_how_its_settings_are_written(tmp_path):
    directory = epath.Path(tmp_path)
    with pytest.raises(UserError, match="is not a run directory"):
        read_settings(directory)
    (tmp_path / "config.gin").touch()
    with pytest.raises(UserError, match=r"--gin_file=.*config.gin --model_dir="):
        read_settings(directory)
    write_settings(directory, {"objective": None})
    assert read_settings(directory) == {"objective": None}


def test_a_run_writes_them_at_its_start(run, tmp_path):
    run(1)
    path = tmp_path / "run" / NAME
    written = json.loads(path.read_text())
    assert written["objective"]["hidden"] == 16
    assert written["train_dataset"]["batch_size"] == 16
    assert written["eval_dataset"] is None
    # One that is done keeps what it was made with; a run of before gets them.
    run(1, objective=Toy(learning_rate=1.0))
    assert json.loads(path.read_text()) == written
    path.unlink()
    run(1)
    assert json.loads(path.read_text()) == written
    run(2, train_dataset=ToyDataset(length=5))
    assert json.loads(path.read_text())["train_dataset"]["length"] == 5
