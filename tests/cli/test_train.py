"""`babeldraw train`: what happens between the command line and the loop."""

import os
import sys
import types

import gin
import pytest
from ml_collections import ConfigDict

from babeldraw.cli import main as cli
from babeldraw.cli.support import machines, paths
from babeldraw.errors import UserError
from babeldraw.parallel import processes
from babeldraw.training.machine import Machine

MACHINES = sorted((paths.repository_root() / "configs").glob("*.py"))

LOOP_RECIPE = """\
from __gin__ import dynamic_registration
from babeldraw.training import loop

TRAIN_STEPS = 3
MODEL_DIR = %gin.REQUIRED
loop.train.train_steps = %TRAIN_STEPS
loop.train.model_dir = %MODEL_DIR
loop.train.objective = None
"""


@pytest.fixture
def fake_loop(toyhouse, monkeypatch):
    """Puts a loop that only records its settings in the place of the real one."""
    calls = []

    def train(objective, *, model_dir, train_steps, machine, train_dataset, config_text, **more):
        calls.append(dict(locals()))

    import babeldraw.training

    module = types.ModuleType("babeldraw.training.loop")
    module.train = train
    monkeypatch.setitem(sys.modules, "babeldraw.training.loop", module)
    monkeypatch.setattr(babeldraw.training, "loop", module, raising=False)
    (toyhouse / "loop.gin").write_text(LOOP_RECIPE)
    return calls


def test_recipe_and_machine_meet_in_the_loop(fake_loop):
    line = ["train", "--gin_file=loop.gin", "--gin.loop.train.train_dataset=None"]
    assert cli.main([*line, "--model_dir=runs/a", "--gin.TRAIN_STEPS=5"]) == 0
    (call,) = fake_loop
    assert (call["model_dir"], call["train_steps"]) == ("runs/a", 5)
    assert isinstance(call["machine"], Machine)
    assert call["machine"].name == "cpu"
    assert "MODEL_DIR = 'runs/a'" in call["config_text"]
    assert gin.config_is_locked()


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        ([], "MODEL_DIR must be given: add --gin.MODEL_DIR=VALUE"),
        (["--model_dir=a"], "the recipe does not set train_dataset of train"),
        (["--model_dir=a", "--gin.TRIAN_STEPS=5"], "did you mean TRAIN_STEPS?"),
        (["--model_dir=a", "--config=configs/cpo.py"], "did you mean configs/cpu.py?"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_2(fake_loop, extra, sentence, capsys):
    assert cli.main(["train", "--gin_file=loop.gin", *extra]) == 2
    error = capsys.readouterr().err
    assert error.startswith("babeldraw: error: ")
    assert sentence in error
    assert error.count("\n") == 1
    assert not fake_loop


def test_a_recipe_without_a_run_is_refused(fake_loop, capsys):
    assert cli.main(["train", "--gin_file=run.gin"]) == 2
    assert "run.gin sets nothing of loop.train" in capsys.readouterr().err


def test_a_setting_that_its_owner_refuses_is_one_sentence(fake_loop, toyhouse, capsys):
    (toyhouse / "toyhouse/wheels.py").write_text(
        "def wheels(count):\n    raise ValueError(f'a cart has wheels, not {count}')\n"
    )
    binding = "from toyhouse import wheels\nloop.train.objective = @wheels.wheels()\n"
    recipe = LOOP_RECIPE.replace("loop.train.objective = None\n", "wheels.wheels.count = 0\n")
    lines = recipe.splitlines(keepends=True)
    (toyhouse / "loop.gin").write_text("".join([*lines[:2], binding, *lines[2:]]))
    assert cli.main(["train", "--gin_file=loop.gin", "--model_dir=a"]) == 2
    expected = "the recipe's settings of wheels do not work: a cart has wheels, not 0\n"
    assert capsys.readouterr().err == f"babeldraw: error: {expected}"


def test_an_error_inside_the_loop_keeps_its_traceback(fake_loop, monkeypatch):
    def train(objective, *, model_dir, train_steps, machine, config_text, **more):
        raise ValueError("a bug")

    monkeypatch.setattr(sys.modules["babeldraw.training.loop"], "train", train)
    with pytest.raises(ValueError, match="a bug"):
        cli.main(["train", "--gin_file=loop.gin", "--model_dir=a"])


def test_flags_of_the_environment_come_after_the_machines(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--b=2")
    machines.set_environment(ConfigDict({"xla_flags": "--a=1 --b=1"}))
    assert os.environ["XLA_FLAGS"] == "--a=1 --b=1 --b=2"


def test_no_flags_leave_the_environment_alone(monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    machines.set_environment(ConfigDict({"xla_flags": ""}))
    assert "XLA_FLAGS" not in os.environ


def test_flags_of_the_tpu_compiler_go_to_it(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--a=1")
    monkeypatch.setenv("LIBTPU_INIT_ARGS", "--c=3")
    machines.set_environment(ConfigDict({"topology": "v5e:4x4", "xla_flags": "--b=2"}))
    assert os.environ["XLA_FLAGS"] == "--a=1"
    assert os.environ["LIBTPU_INIT_ARGS"] == "--b=2 --c=3"


def test_one_host_joins_nothing_and_many_do(monkeypatch):
    joined = []
    monkeypatch.setattr(processes, "join", lambda cluster, seconds: joined.append(cluster))
    monkeypatch.setattr(processes, "cloud_metadata", {}.get)
    machines.join_processes(ConfigDict({"launch": {"hosts": 1}}))
    assert joined == []
    monkeypatch.setenv("TPU_WORKER_HOSTNAMES", "a,b")
    monkeypatch.setenv("TPU_WORKER_ID", "1")
    machines.join_processes(ConfigDict({"launch": {"hosts": 2}}))
    assert [(c.num_processes, c.process_id) for c in joined] == [(2, 1)]


def test_another_number_of_hosts_is_one_sentence(monkeypatch):
    monkeypatch.setattr(processes, "cloud_metadata", {}.get)
    with pytest.raises(UserError, match="for 2 hosts, and there is no cluster here; choose"):
        machines.join_processes(ConfigDict({"launch": {"hosts": 2}}))
    flags = {"coordinator_address": "a:1", "num_processes": 3, "process_id": 0}
    with pytest.raises(UserError, match=r"for 2 hosts, and flags .* tells of 3; choose"):
        machines.join_processes(ConfigDict({"launch": {"hosts": 2}}), **flags)


@pytest.mark.parametrize("path", MACHINES, ids=lambda path: path.stem)
def test_every_machine_file_is_a_machine(path):
    machine = Machine.from_config(machines.load_machine_file(str(path)))
    assert machine.name == path.stem


@pytest.mark.parametrize(("stem", "chips", "hosts"), [("v4_512", 512, 128), ("v4_1024", 1024, 256)])
def test_pod_meshes_use_every_chip(stem, chips, hosts):
    config = machines.load_machine_file(f"configs/{stem}.py")
    size = 1
    for extent in config.mesh.values():
        size *= extent
    topology = 1
    for extent in config.launch.topology.split("x"):
        topology *= int(extent)
    assert size == topology == chips
    assert config.launch.hosts == hosts == chips // 4


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("x = 1\n", "has no get_config"), ("def get_config(:\n", r":1: .* in this machine file")],
)
def test_a_wrong_machine_file_is_one_sentence(tmp_path, text, sentence):
    (tmp_path / "m.py").write_text(text)
    with pytest.raises(UserError, match=sentence):
        machines.load_machine_file(str(tmp_path / "m.py"))
