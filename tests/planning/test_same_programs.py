"""Contract: the programs that a plan compiles are those that run, word for word."""

import jax
import numpy as np
import pytest

from babeldraw.parallel.mesh import make_mesh
from babeldraw.planning import programs
from babeldraw.sampling import places
from babeldraw.training import loop
from babeldraw.training.machine import Machine
from tests.models import tiny
from tests.objectives import tiny_runs
from tests.quick import compiled_quickly  # noqa: F401 - nothing here is for the TPU compiler

OBJECTIVE = tiny_runs.text_to_image(
    codebook_size=16, num_heads=4, head_dim=4, encoder_layers=1, decoder_layers=1
)
MESHES = {"one device": {"data": 1}, "2 x 4": {"data": 2, "model": 4}}


class Written(Exception):
    """The program is there as text; compiling it, most of the time, would tell no more."""


@pytest.fixture
def lowered(monkeypatch):
    """The text of every step and drawing that was to be compiled; there `Written` is raised."""
    texts = []
    compile_it = jax.stages.Lowered.compile

    def record(program, *arguments, **settings):
        text = program.as_text()
        if not text.startswith(("module @jit_step ", "module @jit_draw ")):
            return compile_it(program, *arguments, **settings)
        texts.append(text)
        raise Written

    monkeypatch.setattr(jax.stages.Lowered, "compile", record)
    return texts


@pytest.mark.parametrize("axes", MESHES.values(), ids=MESHES)
def test_drawing(lowered, axes):
    mesh = make_mesh(axes, jax.devices()[: np.prod(list(axes.values()))])
    planned = programs.abstract_sampler(OBJECTIVE, mesh)
    with pytest.raises(Written):
        programs.compile_sampling(planned)

    params = tiny.random_params(OBJECTIVE.model)
    networks = {
        "text_to_image": jax.device_put(params, jax.tree.map(lambda p: p.sharding, planned.params)),
        "tokenizer": places.put_params(OBJECTIVE.constants()["tokenizer"], mesh),
    }
    sampler = OBJECTIVE.sampler(
        networks, guidance_weight=(programs.GUIDANCE_WEIGHT,), batch_size=planned.batch_size
    )
    program = sampler.program
    sampler.__dict__["program"] = lambda *arguments: program.lower(*arguments).compile()
    with pytest.raises(Written):
        sampler.generate(np.asarray(tiny.prompts(planned.batch_size)))
    plans, runs = lowered
    assert plans == runs
    assert "num_partitions = 8" in plans or mesh.size == 1


@pytest.mark.parametrize("axes", MESHES.values(), ids=MESHES)
def test_training(lowered, axes, tmp_path):
    machine = Machine(mesh=axes, checkpoint_every=0)
    devices = jax.devices()[: np.prod(list(axes.values()))]
    with pytest.raises(Written):
        programs.compile_train_step(OBJECTIVE, machine, 8, make_mesh(axes, devices))
    with pytest.raises(Written):
        loop.train(
            OBJECTIVE,
            model_dir=str(tmp_path),
            train_dataset=tiny_runs.Pictures(),
            train_steps=1,
            machine=machine,
            devices=devices,
        )
    plans, runs = lowered
    assert plans == runs
    assert "num_partitions = 8" in plans or len(devices) == 1
