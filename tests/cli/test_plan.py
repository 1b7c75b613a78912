"""`babeldraw plan`: from the command line to the plan, and back to the terminal."""

import json
import os
import sys

import gin
import jax
import pytest

from babeldraw.cli import main as cli
from babeldraw.cli import plan as cli_plan
from babeldraw.cli.support import gin_config
from babeldraw.errors import UserError
from babeldraw.planning import environment
from babeldraw.quiet import hidden_stderr

RECIPE = ["plan", "--gin_file=gin/runs/quickstart_text_to_image.gin"]
MACHINE = """\
def get_config():
    return {"name": "small", "topology": "v5e:2x2", "mesh": {"data": 4}}
"""


@pytest.fixture
def machine(tmp_path):
    path = tmp_path / "small.py"
    path.write_text(MACHINE)
    yield f"--config={path}"
    gin.clear_config()


@pytest.fixture
def fake_plans(monkeypatch):
    """Records what would be compiled; says that it fits unless the batch is odd."""
    from babeldraw.planning import plan, report

    calls = []

    class Fake:
        def __init__(self, *arguments):
            calls.append(arguments)
            self.fits = arguments[2] % 2 == 0

    def make_plan(objective, machine, batch_size, topology, *, int8, progress):
        os.write(2, b"chatter of a library\n")
        progress("compiling ...\n")
        return Fake(objective, machine, batch_size, topology)

    monkeypatch.setattr(plan, "make_plan", make_plan)
    monkeypatch.setattr(report, "to_json", lambda plan: {"fits": plan.fits})
    monkeypatch.setattr(report, "text_report", lambda plan: "the report\n")
    monkeypatch.setattr(report, "verdict", lambda plan: f"verdict: {plan.fits}\n")
    monkeypatch.setattr(report, "advice", lambda plan: "try another\n")
    return calls


def test_recipe_and_machine_meet_in_the_plan_without_a_checkpoint(fake_plans, machine, capfd):
    assert cli.main([*RECIPE, machine, "--json"]) == 0
    (call,) = fake_plans
    objective, on, batch_size, topology = call
    assert type(objective).__name__ == "TextToImage"
    assert (on.name, batch_size, topology.name) == ("small", 16, "v5e:2x2")
    out, err = capfd.readouterr()
    assert json.loads(out) == {"fits": True}
    assert err == "compiling ...\n"


def test_quick_asks_the_compiler_for_least_optimisation(fake_plans, machine):
    from babeldraw.planning import programs

    assert not programs.programs_are_quick()
    effort = jax.config.jax_exec_time_optimization_effort
    try:
        assert cli.main([*RECIPE, machine, "--json", "--quick"]) == 0
        assert programs.programs_are_quick()
    finally:
        jax.config.update("jax_exec_time_optimization_effort", effort)


def test_topology_of_the_command_line_wins_and_what_does_not_fit_exits_1(fake_plans, machine):
    line = [*RECIPE, machine, "--json", "--topology=v4:2x2x1", "--gin.BATCH_SIZE=7"]
    assert cli.main(line) == 1
    assert fake_plans[0][3].name == "v4:2x2x1"


def test_the_verdict_is_the_last_line(fake_plans, machine, capsys):
    assert cli.main([*RECIPE, machine]) == 0
    assert capsys.readouterr().out == "the report\n\nverdict: True\n"
    assert cli.main([*RECIPE, machine, "--gin.BATCH_SIZE=7"]) == 1
    assert capsys.readouterr().out == "the report\n\ntry another\n\nverdict: False\n"


@pytest.fixture
def fake_search(monkeypatch, tmp_path):
    """Finds a layout for batches of even size."""
    from babeldraw.planning import find_layout, machine_file, report
    from babeldraw.planning.layouts import Layout
    from babeldraw.planning.search import Found
    from babeldraw.planning.trials import Trial

    monkeypatch.setenv("BABELDRAW_CACHE_DIR", str(tmp_path / "cache"))
    layout = Layout(4, 1, 1, True, "dots", "dense")
    found = Found([Trial(layout, 1.0, True, 2.0, 3.0, 0.5, "links")], 7, 8, 9)
    calls = []

    def search(objective, machine, batch_size, topology, file, **settings):
        calls.append((machine, topology.name, settings))
        if batch_size % 2:
            return find_layout.Answer(found, advice="nothing fits\n")
        plan = type("Plan", (), {"fits": True, "objective": "TextToImage"})()
        return find_layout.Answer(found, plan, layout)

    monkeypatch.setattr(find_layout, "find_layout", search)
    written = lambda name, plan, layout, command, date: f"{name}: {command}"  # noqa: E731
    monkeypatch.setattr(machine_file, "machine_file", written)
    monkeypatch.setattr(report, "text_report", lambda plan: "the report\n")
    monkeypatch.setattr(report, "verdict", lambda plan: "verdict\n")
    yield calls
    gin.clear_config()


def test_a_search_wants_no_machine_file_and_writes_one(fake_search, tmp_path, capsys):
    path = tmp_path / "best.py"
    line = [*RECIPE, "--search", "--topology=v5e:2x2", "--minutes=3", f"--write={path}"]
    assert cli.main(line) == 0
    ((machine, topology, settings),) = fake_search
    assert (machine.topology, topology, settings["minutes"]) == ("v5e:2x2", "v5e:2x2", 3)
    out = capsys.readouterr().out
    assert "4 x 1 x 1, fsdp, remat dots, dense     2.0      3.000 s    50%  links" in out
    assert "7 cannot fit and 8 cannot be faster; 9 not reached in time" in out
    assert out.endswith(f"written: {path}\nverdict\n")
    assert path.read_text() == (
        f"best: babeldraw plan --search {RECIPE[1]} --topology=v5e:2x2 --write={path} --minutes=3"
    )


def test_a_search_in_vain_exits_1_and_writes_nothing(fake_search, machine, tmp_path, capsys):
    path = tmp_path / "best.py"
    line = [*RECIPE, machine, "--search", "--gin.BATCH_SIZE=7", f"--write={path}"]
    assert cli.main(line) == 1
    assert capsys.readouterr().out.endswith("nothing fits\n")
    assert not path.exists()


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        ([], "a plan is of a machine; add --config"),
        (["--config=configs/v5e_16.py", "--write=best.py"], "add --search, or leave --write out"),
        (["--config=configs/v5e_16.py", "--search", "--int8"], "leave --int8 out"),
        (["--config=configs/cpu.py"], "configs/cpu.py names no TPU slice"),
        (["--config=configs/cpu.py", "--topology=v5e:3x3"], "The known ones are v4:2x2x1"),
        (["--config=configs/v5_1024.py"], "did you mean configs/v4_1024.py?"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_2(fake_plans, extra, sentence, capfd):
    assert cli.main([*RECIPE, *extra]) == 2
    err = capfd.readouterr().err
    assert sentence in err
    assert err.count("\n") == 1
    assert not fake_plans


def test_a_recipe_without_an_objective_is_told_which_runs_exist(fake_plans, machine, capfd):
    assert cli.main(["plan", "--gin_file=gin/models/tiny.gin", machine]) == 2
    err = capfd.readouterr().err
    assert "gin/models/tiny.gin sets no " in err
    assert "gin/runs/text_to_image.gin" in err


def test_the_tokenizer_is_planned_too(fake_plans, machine):
    assert (
        cli.main(["plan", "--gin_file=gin/runs/quickstart_tokenizer.gin", machine, "--json"]) == 0
    )
    assert type(fake_plans[0][0]).__name__ == "Tokenizer"


def test_schedule_is_drawn(fake_plans, machine, monkeypatch, tmp_path):
    from babeldraw.optimizers import schedules

    drawn = []
    plot = lambda schedule, steps, path: drawn.append((schedule(50), steps, path))  # noqa: E731
    monkeypatch.setattr(schedules, "plot_schedule", plot, raising=False)
    assert cli.main([*RECIPE, machine, "--json", f"--schedule={tmp_path}/rate.png"]) == 0
    ((rate, steps, path),) = drawn
    assert float(rate) == pytest.approx(3e-3)
    assert (steps, path) == (850, f"{tmp_path}/rate.png")


def test_a_bug_shows_what_libraries_said_and_a_mistake_does_not(capfd):
    with pytest.raises(ZeroDivisionError), hidden_stderr():
        os.write(2, b"useful\n")
        _ = 1 / 0
    assert capfd.readouterr().err == "useful\n"
    with pytest.raises(UserError), hidden_stderr() as terminal:
        os.write(2, b"useless\n")
        print("progress", file=terminal, flush=True)
        raise UserError("a mistake")
    print("still there", file=sys.stderr)
    assert capfd.readouterr().err == "progress\nstill there\n"


def test_flags_of_the_machine_reach_the_tpu_compiler(monkeypatch):
    monkeypatch.setattr(os, "environ", {"LIBTPU_INIT_ARGS": "--own=1"})
    environment.prepare_environment("--machine=1")
    assert os.environ["LIBTPU_INIT_ARGS"] == "--machine=1 --own=1"
    assert os.environ["JAX_PLATFORMS"] == "cpu"


def test_macros_that_a_plan_does_not_need_may_stay_open(machine):
    files = ["gin/runs/quickstart_text_to_image.gin"]
    with pytest.raises(UserError, match="must be given"):
        gin_config.parse_gin(files, [])
    assert "MODEL_DIR = ''" in gin_config.parse_gin(files, [], unneeded=cli_plan._UNNEEDED)
