"""Contract: the programs that a plan compiles are those that run, word for word."""

import jax
import numpy as np
import pytest

from babeldraw.parallel.mesh import make_mesh
from babeldraw.planning import programs
from babeldraw.sampling import places
from babeldraw.training import loop
from babeldraw.training.machine import Machine
from babeldraw.training.state import init_state
from tests.models import tiny
from tests.objectives import tiny_runs

OBJECTIVE = tiny_runs.text_to_image(
    codebook_size=16, num_heads=4, head_dim=4, encoder_layers=1, decoder_layers=1
)
MESHES = {"one device": {"data": 1}, "2 x 4": {"data": 2, "model": 4}}


@pytest.fixture
def lowered(monkeypatch):
    """The text of every program that is lowered and compiled."""
    texts = []
    compile_it = jax.stages.Lowered.compile

    def record(program, *arguments, **settings):
        texts.append(program.as_text())
        return compile_it(program, *arguments, **settings)

    monkeypatch.setattr(jax.stages.Lowered, "compile", record)
    return texts


@pytest.mark.parametrize("axes", MESHES.values(), ids=MESHES)
def test_drawing(lowered, axes):
    mesh = make_mesh(axes, jax.devices()[: np.prod(list(axes.values()))])
    planned = programs.abstract_sampler(OBJECTIVE, mesh)
    programs.compile_sampling(planned)

    params = init_state(OBJECTIVE, 0).params
    shardings = jax.tree.map(lambda leaf: leaf.sharding, planned.params)
    networks = {
        "text_to_image": jax.device_put(params["text_to_image"], shardings),
        "tokenizer": places.put_params(OBJECTIVE.constants()["tokenizer"], mesh),
    }
    sampler = OBJECTIVE.sampler(
        networks, guidance_weight=(programs.GUIDANCE_WEIGHT,), batch_size=planned.batch_size
    )
    program = sampler.program

    def record(*arguments):
        lowered.append(program.lower(*arguments).as_text())
        return program(*arguments)

    sampler.__dict__["program"] = record
    sampler.generate(np.asarray(tiny.prompts(planned.batch_size)))
    plans, runs = lowered
    assert plans == runs
    assert "num_partitions = 8" in plans or mesh.size == 1


@pytest.mark.parametrize("axes", MESHES.values(), ids=MESHES)
def test_training(lowered, axes, tmp_path):
    machine = Machine(mesh=axes, checkpoint_every=0)
    devices = jax.devices()[: np.prod(list(axes.values()))]
    programs.compile_train_step(OBJECTIVE, machine, 8, make_mesh(axes, devices))
    loop.train(
        OBJECTIVE,
        model_dir=str(tmp_path),
        train_dataset=tiny_runs.Pictures(),
        train_steps=1,
        machine=machine,
        devices=devices,
    )
    plans, runs = (text for text in lowered if "@jit_step" in text)
    assert plans == runs
    assert "num_partitions = 8" in plans or len(devices) == 1
