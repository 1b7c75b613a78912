import json
import runpy
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from babeldraw.errors import UserError
from babeldraw.parallel.execution import Execution
from babeldraw.training.machine import Machine

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.py"))


def test_from_config():
    machine = Machine.from_config(
        ConfigDict({"name": "x", "mesh": {"data": -1, "model": 4}, "remat": "dots", "unroll": True})
    )
    assert machine.mesh == {"data": -1, "model": 4}
    assert machine.execution == Execution(remat="dots", unroll=True)
    assert machine.checkpoint_keep == Machine().checkpoint_keep
    assert json.loads(machine.to_json())["name"] == "x"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"remta": "full"}, "sets 'remta', which does not exist: use only name, topology"),
        ({"remat": "some"}, "remat must be none, dots, attention or full, not 'some'"),
        ({"checkpoint_every": "often"}, "checkpoint_every to 'often': it must be of type int"),
    ],
)
def test_wrong_settings(values, sentence):
    with pytest.raises(UserError, match=sentence):
        Machine.from_config(ConfigDict(values))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_machine_files(path):
    machine = Machine.from_config(runpy.run_path(str(path))["get_config"]())
    assert machine.name == path.stem
    assert {"data", "stage", "model"} >= set(machine.mesh)
