"""A tiny recipe, compiled by the real TPU compiler; the plans of the published sizes are slow."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import pytest

from babeldraw.errors import UserError
from babeldraw.objectives.tokenizer import Tokenizer
from babeldraw.parallel.mesh import make_mesh
from babeldraw.parallel.rules import replicated
from babeldraw.planning import plan as plan_module
from babeldraw.planning import programs, report
from babeldraw.planning.plan import make_plan
from babeldraw.planning.programs import parse_refusal
from babeldraw.planning.topologies import find_topology, topology_devices
from babeldraw.training.machine import Machine
from babeldraw.training.state import bytes_a_device
from tests.models import tiny
from tests.objectives import tiny_runs

CODES = 16  # divides over `model`
TOPOLOGY = find_topology("v5e:2x2")
MACHINE = Machine(name="tiny", mesh={"data": 2, "model": 2})
OBJECTIVE = dataclasses.replace(
    tiny_runs.text_to_image(encoder_layers=1, codebook_size=CODES),
    tokenizer_params=lambda: pytest.fail("a plan must not read a checkpoint"),
)
STABLE_KEYS = (
    "params, params_without_embeddings, chips, fits, peak_hbm_gib, hbm_available_gib, "
    "bubble_fraction, collectives, model_flops_per_step, estimated_step_seconds, estimated_mfu, "
    "compile_seconds"
)


@pytest.fixture(scope="module")
def said():
    return []


@pytest.fixture(scope="module")
def plan(said):
    return make_plan(OBJECTIVE, MACHINE, 8, TOPOLOGY, progress=said.append)


def test_it_fits_and_says_where_its_memory_goes(plan, said):
    assert plan.fits
    assert 0 < plan.peak_hbm_gib < 0.1
    assert plan.hbm_available_gib == 15.75
    assert sum(plan.memory_gib.values()) == pytest.approx(plan.peak_hbm_gib)
    weights = sum(v.bytes_a_device for v in plan.variables if v.name.startswith("params/"))
    assert plan.memory_gib["weights"] == weights / 2**30
    assert "".join(said).startswith("compiling the train step for 4 chips ... ")


def test_parameters(plan):
    embeddings = (tiny.VOCAB + 2 * CODES) * 16
    assert plan.params - plan.params_without_embeddings == embeddings


def test_gradients_are_summed_over_data_in_float32(plan):
    sums = [row for row in plan.collectives if row.axes == ("data",)]
    assert {(row.kind, row.dtype) for row in sums} == {("all-reduce", "f32")}


def test_layers_are_split_over_model(plan):
    kinds = {row.kind for row in plan.collectives if row.in_loop and row.axes == ("model",)}
    assert kinds  # which ones is the compiler's choice: the layers are tiny
    assert not any(row.axes is None and row.total_bytes > 2**12 for row in plan.collectives)


def test_sampling_is_one_program_over_all_tokens(plan):
    assert plan.sampling.fits
    assert plan.sampling.pictures == 16 * 2
    # One loop draws a token of each picture after another, one decodes picture after picture.
    looped = [row for row in plan.sampling.collectives if row.loop == "jit(draw)"]
    each = {(row.times // row.count, "ViTVQGAN" in row.source) for row in looped}
    assert each == {(OBJECTIVE.model.num_tokens, False), (16, True)}


def test_drawing_with_weights_of_one_byte(plan, monkeypatch):
    """tests/planning/test_same_programs.py: what is compiled is what draws."""
    compiled = []
    answer = lambda sampler: compiled.append(sampler) or plan.train  # noqa: E731
    monkeypatch.setattr(plan_module, "compile_sampling", answer)
    for int8 in (False, True):
        sampling = plan_module.plan_sampling(OBJECTIVE, MACHINE.mesh, TOPOLOGY, print, int8)
        text = report.text_report(dataclasses.replace(plan, sampling=sampling))
        assert ("int8 weights" in text) == int8
    whole, small = (
        sum(map(bytes_a_device, jax.tree.leaves(sampler.params))) for sampler in compiled
    )
    assert small < whole / 2


def test_json_has_the_stable_keys(plan):
    figures = json.loads(report.dump(report.to_json(plan)))
    for key in STABLE_KEYS.split(", "):
        assert figures[key] is not None, key
    assert (figures["chips"], figures["accumulate"]) == (4, 1)
    assert figures["collectives"][0].keys() >= {"kind", "dtype", "bytes", "in_loop", "axes"}
    assert {v["name"] for v in figures["variables"]} >= {
        "params/text_to_image/decoder/layers/mlp/wi/kernel"
    }


def test_text_names_every_figure(plan):
    text = report.text_report(plan)
    for words in (
        *("parameters", "memory of a chip", "fits", "optimizer state", "bubble", "counting rule"),
        *("ESTIMATE", "MFU", "outside loops", "loop decoder (backward)", "sampling"),
        "(layers, embed, mlp)",
    ):
        assert words in text


def test_text_says_in_how_many_parts_the_batch_goes(plan):
    parted = dataclasses.replace(plan, machine=dataclasses.replace(MACHINE, accumulate=4))
    assert "batch 8\n" in report.text_report(plan)
    assert "batch 8 in 4 parts\n" in report.text_report(parted)


def test_the_verdict_says_both_programs(plan):
    said = report.verdict(plan)
    assert said.startswith("verdict: FITS on v5e:2x2 with batch 8: of 15.75 GiB a chip, training")
    assert said.endswith(f"sampling takes {plan.sampling.peak_hbm_gib:.2f}\n")


def refused():
    """A program of 512 GiB, as the compiler answers it."""
    devices = topology_devices(TOPOLOGY)
    where = replicated(make_mesh({"data": 4}, devices))
    numbers = jax.ShapeDtypeStruct((2**37,), jnp.float32, sharding=where)
    return programs.run_compiler(lambda: jax.jit(lambda x: x + 1).lower(numbers), where.mesh, 2**39)


def test_too_much_memory_is_a_figure_and_advice(plan, monkeypatch):
    program = refused()
    assert (program.refused, program.available_bytes) == (True, 15.75 * 2**30)
    answer = lambda *arguments: (program, plan.variables)  # noqa: E731
    monkeypatch.setattr(plan_module, "compile_train_step", answer)
    large = make_plan(OBJECTIVE, MACHINE, 8, TOPOLOGY, with_sampling=False)
    assert not large.fits
    assert large.peak_hbm_gib >= 512
    assert (large.estimated_step_seconds, large.collectives) == (None, [])
    assert f"DOES NOT FIT, {large.peak_hbm_gib - 15.75:.2f} too much" in report.text_report(large)
    assert "GiB too much on each chip" in report.advice(large)
    assert report.verdict(large).startswith("verdict: DOES NOT FIT on v5e:2x2 with batch 8: of")


def test_what_an_earlier_plan_compiled_is_said_so(plan, monkeypatch):
    train = dataclasses.replace(plan.train, kept=True, compile_seconds=12.3)
    monkeypatch.setattr(plan_module, "compile_train_step", lambda *_: (train, plan.variables))
    said = []
    make_plan(OBJECTIVE, MACHINE, 8, TOPOLOGY, with_sampling=False, progress=said.append)
    assert said[-1] == " known from an earlier plan, 12 s then\n"


def test_mesh_that_is_not_the_slice_is_told_with_its_arithmetic():
    machine = dataclasses.replace(MACHINE, mesh={"data": 3, "model": 2})
    with pytest.raises(UserError, match=r"v5e:2x2.* that is 6 devices and there are 4"):
        make_plan(OBJECTIVE, machine, 8, TOPOLOGY)


def test_other_objectives_are_planned_without_sampling(plan, monkeypatch):
    answer = lambda *arguments: (plan.train, plan.variables)  # noqa: E731
    monkeypatch.setattr(plan_module, "compile_train_step", answer)
    tokenizer = make_plan(tiny_runs.tokenizer(), MACHINE, 8, TOPOLOGY)
    assert tokenizer.sampling is None
    assert tokenizer.model_flops_per_step > 0
    assert "draws no pictures" in tokenizer.notes[0]
    monkeypatch.setattr(Tokenizer, "flops", lambda objective: None)
    unknown = make_plan(tiny_runs.tokenizer(), MACHINE, 8, TOPOLOGY)
    assert (unknown.model_flops_per_step, unknown.estimated_mfu) == (None, None)
    assert "no closed form" in unknown.notes[1]
    assert "model FLOPs a step   not known" in report.text_report(unknown)


@pytest.mark.slow
def test_the_tokenizer_is_compiled():
    plan = make_plan(tiny_runs.tokenizer(), MACHINE, 8, TOPOLOGY)
    assert plan.fits
    assert plan.collectives


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        (
            "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO "
            "temporaries (512.00G) exceeds available HBM (30.75G).",
            (512, 30.75),
        ),
        (
            "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 189.50G of 30.75G "
            "hbm. Exceeded hbm capacity by 158.75G.",
            (189.5, 30.75),
        ),
    ],
)
def test_refusals_state_their_figures(message, wanted):
    assert tuple(size / 2**30 for size in parse_refusal(message)) == wanted


def test_other_errors_of_the_compiler_are_not_taken_for_refusals():
    with pytest.raises(ValueError, match="the TPU compiler failed: INTERNAL"):
        parse_refusal("INTERNAL: a bug")
