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
    blocks = Machine.from_config(ConfigDict({"attention": "blocks"}))
    assert blocks.execution == Execution(attention="blocks")
    assert Machine.from_config({"accumulate": 4}).execution == Execution(accumulate=4)
    assert machine.mesh == {"data": -1, "model": 4}
    assert machine.execution == Execution(remat="dots", unroll=True)
    assert machine.checkpoint_keep == Machine().checkpoint_keep
    assert json.loads(machine.to_json())["name"] == "x"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"remta": "full"}, "sets 'remta', which does not exist: use only name, topology"),
        ({"remat": "some"}, "remat to 'some': it takes one of 'none', 'dots', 'attention', 'full'"),
        (
            {"attention": "flash"},
            "attention to 'flash': it takes one of 'auto', 'dense', 'blocks', 'splash'",
        ),
        ({"fsdp": "full"}, "fsdp to 'full': it takes"),
        (
            {"fsdp": "hybrid", "mesh": {"data": 4, "stage": 2}},
            "hybrid `fsdp` .* a pipeline of 2 stages does not: set `stage` to 1, or `fsdp` to True",
        ),
        ({"accumulate": 0}, "accumulate to 0: it takes a whole number, 1 or more"),
        ({"checkpoint_keep": 0}, "checkpoint_keep to 0: it takes a whole number, 1 or more"),
        ({"checkpoint_every": "often"}, "checkpoint_every to 'often': it takes a whole number"),
    ],
)
def test_wrong_settings(values, sentence):
    with pytest.raises(UserError, match=sentence):
        Machine.from_config(ConfigDict(values))


def test_pictures_are_drawn_on_a_mesh_of_their_own_where_model_splits_no_layer():
    mesh = {"data": 2, "model": 4}
    assert Machine(mesh=mesh).drawing_mesh == mesh
    assert Machine(mesh=mesh, fsdp="hybrid").drawing_mesh == {"data": -1}
    assert Machine(mesh=mesh, fsdp="hybrid", sampling_mesh={"data": 8}).drawing_mesh == {"data": 8}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_machine_files(path):
    machine = Machine.from_config(runpy.run_path(str(path))["get_config"]())
    assert machine.name == path.stem
    assert {"data", "stage", "model"} >= set(machine.mesh)


def test_the_published_sizes_are_split_as_in_the_patent():
    def machine(name):
        path = next(path for path in CONFIGS if path.stem == name)
        return Machine.from_config(runpy.run_path(str(path))["get_config"]())

    small, three_billion, twenty_billion = map(machine, ("v5e_16", "v4_512_in_layer", "v4_1024"))
    assert small.mesh == {"data": 16, "stage": 1, "model": 1}
    assert three_billion.mesh == {"data": 128, "stage": 1, "model": 4}
    assert twenty_billion.mesh == {"data": 64, "stage": 16, "model": 1}
    assert not any(each.fsdp for each in (small, three_billion, twenty_billion))
    pipeline = twenty_billion.execution.pipeline
    # 16 encoder layers in one round, 64 decoder layers in a circular schedule of four.
    assert (pipeline.rounds(16), pipeline.rounds(64)) == (1, 4)
    # Pictures are drawn with in-layer parallelism and without a pipeline.
    for large, in_layer in ((three_billion, 4), (twenty_billion, 16)):
        mesh = large.sampling_mesh or large.mesh
        assert (mesh.get("stage", 1), mesh["model"]) == (1, in_layer)
