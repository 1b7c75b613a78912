"""Contract: where every variable of every model size lies is written down, and changes on purpose.

`python -m tests.parallel.test_golden_shardings` writes the tables anew.
"""

import runpy
from pathlib import Path

import gin
import jax
import pytest
from jax.sharding import AbstractMesh, AxisType

from babeldraw.cli.support import gin_config
from babeldraw.parallel.mesh import AXES
from babeldraw.training.keeping.model_info import model_info
from babeldraw.training.machine import Machine
from babeldraw.training.state import describe_state

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"

# Model size -> (machine file, mesh). The small ones are data parallel on any slice.
PLACES = {
    "350m": ("v4_512_in_layer", {"data": 512, "model": 1}),
    "750m": ("v4_512_in_layer", {"data": 512, "model": 1}),
    "3b": ("v4_512_in_layer", None),
    "20b": ("v4_1024", None),
    "vim_large": ("v6e_64", None),
}


def table(size):
    """model-info.txt of the run of that size, without any device."""
    name, mesh_axes = PLACES[size]
    config = runpy.run_path(str(ROOT / f"configs/{name}.py"))["get_config"]()
    if mesh_axes is not None:
        config.mesh = mesh_axes
    machine = Machine.from_config(config)
    sizes = tuple(machine.mesh.get(axis, 1) for axis in AXES)
    mesh = AbstractMesh(sizes, AXES, axis_types=(AxisType.Auto,) * len(AXES))
    run = "image_tokens" if size.startswith("vim_") else "text_to_image"
    files = [f"runs/{run}", f"models/{size}", "tokenizers/small_small", "tasks/coco"]
    paths = [str(ROOT / f"gin/{file}.gin") for file in files]
    bindings = ["NUM_CLASSES = 1000"] if run == "image_tokens" else []
    unneeded = ("MODEL_DIR", "TOKENIZER_CHECKPOINT")
    gin_config.parse_gin(paths, bindings, unneeded=unneeded)
    objective = gin.query_parameter("loop.train.objective").scoped_configurable_fn()
    variables = describe_state(objective.with_execution(machine.execution), mesh, machine.rules)
    return model_info(variables, mesh)


@pytest.mark.parametrize("size", PLACES)
def test_every_variable_lies_where_it_is_written(size):
    assert table(size) == (GOLDEN / f"{size}.txt").read_text()


def test_large_models_are_split():
    """Per chip: 3B a quarter of everything (but norms), 20B a sixteenth of its layers.

    VIM a 64th of its layers and softmax.
    """
    lines = {size: (GOLDEN / f"{size}.txt").read_text().splitlines() for size in PLACES}
    total = {size: int(text[-1].split()[1].replace(",", "")) for size, text in lines.items()}
    parameters = {size: int(text[-2].split()[-1].replace(",", "")) for size, text in lines.items()}
    state_bytes = 4 + 1.01  # a float32 parameter and its Adafactor state
    assert total["350m"] < state_bytes * parameters["350m"]
    assert total["3b"] < state_bytes * parameters["3b"] / 4 * 1.01
    tables = 9_192 * 2048  # of tokens and classes, whole on each chip
    assert total["vim_large"] < state_bytes * (tables + parameters["vim_large"] / 64) * 1.03
    embeddings = 0.14e9
    assert total["20b"] < state_bytes * (embeddings + parameters["20b"] / 16)
    stages = [line for line in lines["20b"] if "(rounds, stages, " in line]
    assert stages
    assert all("(None, stage, " in line for line in stages)


if __name__ == "__main__":
    for size in PLACES:
        (GOLDEN / f"{size}.txt").write_text(table(size))
    print(jax.__version__, "tables are in", GOLDEN)
