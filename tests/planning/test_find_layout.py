"""A search from the recipe to the machine file, its plans made up; one is compiled (slow)."""

import dataclasses
from types import SimpleNamespace

import pytest

from babeldraw.cli.support.machines import load_machine_file
from babeldraw.errors import UserError
from babeldraw.planning import find_layout as module
from babeldraw.planning.find_layout import find_layout
from babeldraw.planning.layouts import Layout
from babeldraw.planning.machine_file import machine_file
from babeldraw.planning.plan import SamplingPlan
from babeldraw.planning.programs import optimise_fully
from babeldraw.planning.roofline import Roofline
from babeldraw.planning.topologies import find_topology
from babeldraw.planning.trials import TrialFile
from babeldraw.training.machine import Machine
from tests.objectives import tiny_runs

OBJECTIVE = tiny_runs.text_to_image(encoder_layers=2, decoder_layers=2, codebook_size=16)
SLICE = find_topology("v5e:2x2")


@dataclasses.dataclass(frozen=True)
class FakePlan:
    machine: Machine
    train_fits: bool
    peak_hbm_gib: float
    estimated_step_seconds: float
    topology: object = SLICE
    objective: str = "TextToImage"
    params: int = 3_087_165_440
    batch_size: int = 16
    hbm_available_gib: float = 15.75
    estimated_mfu: float = 0.5
    sampling: object = None
    roofline: Roofline = Roofline(1.0, 0.5, 0.1, 0.0)

    @property
    def train(self):
        return SimpleNamespace(compile_seconds=9.0)


class Planner:
    """In-layer layouts are fastest; those of blocks cannot be built."""

    def __init__(self, peak=4.0):
        self.made, self.peak = [], peak

    def __call__(self, objective, machine, batch, topology, *, with_sampling, progress=None):
        assert not with_sampling
        if machine.attention == "blocks":
            raise UserError("no window")
        self.made.append(machine)
        return FakePlan(machine, self.peak <= 15.75, self.peak, 3.0 - machine.mesh["model"])


@pytest.fixture
def search(tmp_path, monkeypatch):
    drawing = SamplingPlan({}, 64, 1.2, True, 2.0, 5.0, [])
    monkeypatch.setattr(module, "plan_sampling", lambda *arguments: drawing)
    monkeypatch.setattr(module.jax, "clear_caches", lambda: None)  # nothing is compiled
    file = TrialFile("tiny", tmp_path)

    def run(planner, topology=SLICE, file=file, **settings):
        machine = Machine(xla_flags="--some=1")
        return find_layout(
            OBJECTIVE, machine, 16, topology, file, planner=planner, **({"minutes": 9} | settings)
        )

    yield run
    optimise_fully()


def test_the_best_is_confirmed_and_the_next_search_compiles_nothing_else(search):
    first, second = Planner(), Planner()
    answer = search(first)
    assert answer.layout.model == 2
    assert first.made[-1] == answer.layout.on(Machine(xla_flags="--some=1"))
    assert answer.plan.sampling.fits
    assert answer.plan.machine.sampling_mesh == {"data": 4, "model": 1}
    assert search(second).layout == answer.layout
    assert len(second.made) == 1
    assert any(trial.refused == "no window" for trial in answer.found.trials)


def test_what_does_not_fit_when_confirmed_gives_way_to_the_next(search):
    class Tight(Planner):
        def __call__(self, *arguments, progress=None, **settings):
            plan = super().__call__(*arguments, **settings)
            if progress is not None and plan.machine.mesh["model"] == 2:  # all optimisations
                return dataclasses.replace(plan, train_fits=False)
            return plan

    assert search(Tight()).layout.model == 1


def test_trials_that_cannot_be_kept_are_told_and_the_search_goes_on(search, tmp_path):
    (tmp_path / "file").write_text("")
    said = []
    answer = search(Planner(), file=TrialFile("tiny", tmp_path / "file"), progress=said.append)
    assert answer.layout.model == 2
    assert "not kept; set BABELDRAW_CACHE_DIR to a folder of yours" in "".join(said)


def test_where_nothing_fits_the_smallest_slice_that_would_is_told(search):
    answer = search(Planner(peak=17.0))
    assert answer.plan is None
    assert answer.advice.startswith("nothing fits v5e:2x2: the smallest layout takes 17.0 of 15.75")
    assert "by arithmetic the smallest slice that may hold it is v5e:2x4 (" in answer.advice
    assert answer.advice.count("\n") == 1


def test_where_the_time_was_too_short_it_asks_for_more(search):
    answer = search(Planner(peak=40.0), minutes=0.0)
    assert "of 0 layouts compiled fits v5e:2x2, and " in answer.advice
    assert "give more --minutes" in answer.advice


def test_where_no_slice_would_do_it_says_what_would(search):
    largest = find_topology("v5e:16x16")
    answer = search(Planner(peak=40.0), topology=largest)
    assert "no v5e slice holds a batch of 16: make BATCH_SIZE smaller" in answer.advice


@pytest.mark.parametrize("slice_name", ["v5e:2x2", "v4:2x2x2", "tpu7x:2x2x1"])
def test_the_file_that_is_written_is_a_machine(tmp_path, slice_name):
    layout = Layout(4, 2, 1, True, "dots", "dense", num_microbatches=4, circular_repeats=1)
    topology = find_topology(slice_name)
    machine = dataclasses.replace(
        layout.on(Machine(accumulate=2)), sampling_mesh={"data": 8, "model": 1}
    )
    plan = FakePlan(machine, True, 9.5, 0.72, topology=topology)
    text = machine_file("found", plan, layout, "babeldraw plan --search " + "--word=1 " * 20, "now")
    path = tmp_path / "found.py"
    path.write_text(text)
    written = Machine.from_config(load_machine_file(str(path)))
    assert written == dataclasses.replace(
        machine,
        name="found",
        topology=slice_name,
        peak_flops=topology.chip.peak_flops,
        launch=written.launch,
    )
    assert written.launch["topology"] == slice_name.partition(":")[2]
    assert text.startswith(f'"""{topology.num_chips} TPU ')
    assert "9.5 of 15.75 GiB, an estimated 720.000 ms a step (MFU 50%), bound by compute." in (
        " ".join(text.split())
    )
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.slow
def test_a_tiny_recipe_is_searched_by_the_real_compiler(tmp_path):
    file = TrialFile("tiny", tmp_path)
    answer = find_layout(OBJECTIVE, Machine(), 16, SLICE, file, minutes=0.5)
    assert answer.plan.fits
    assert answer.layout == answer.found.fitting[0].layout
    assert file.read()
