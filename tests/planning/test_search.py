"""Contract: no layout that was compiled beats the one that is chosen, and none twice.

What compiling gives is made up here: nothing is compiled.
"""

import dataclasses

import pytest

from babeldraw.planning.layouts import Layout, values
from babeldraw.planning.reckoning import Reckoned
from babeldraw.planning.search import search, table
from babeldraw.planning.trials import Trial, TrialFile

PLAIN = Layout(8, 1, 1, fsdp=False, remat="full", attention="dense")
ROOM = 16.0


def row(gib=4.0, compute=1.0, links=0.1, **settings):
    return Reckoned(dataclasses.replace(PLAIN, **settings), gib, compute, links, links)


def trial(layout, seconds=1.5, peak=8.0, **settings):
    fits = {"fits": peak <= ROOM, "peak_gib": peak, "step_seconds": seconds}
    return Trial(layout, 10.0, **(fits | {"mfu": 0.5, "bound": "HBM"} | settings))


class Compiler:
    """Answers with what it was told of a layout; each takes ten minutes."""

    def __init__(self, *answers):
        self.answers = {answer.layout: answer for answer in answers}
        self.asked = []

    def __call__(self, layout):
        self.asked.append(layout)
        return self.answers.get(layout, trial(layout))

    def clock(self):
        return 600.0 * len(self.asked)


def run(rows, compiler, **settings):
    return search(rows, ROOM, compiler, clock=compiler.clock, **({"minutes": 1000} | settings))


def test_the_fastest_that_fits_is_first():
    rows = [row(fsdp=fsdp, remat=remat) for fsdp in (False, True) for remat in ("full", "dots")]
    too_large = trial(rows[1].layout, seconds=0.9, peak=17.0)
    best = trial(rows[2].layout, seconds=1.2)
    found = run(rows, Compiler(too_large, best))
    assert found.fitting[0] == best
    assert len(found.trials) == 4
    assert found.trials[-1] == too_large


def test_what_cannot_fit_or_cannot_be_faster_is_not_compiled():
    large, slow = row(gib=17.0, fsdp=True), row(compute=1.6, data=4, model=2)
    linked = row(links=1.5, data=2, model=4)
    compiler = Compiler()
    found = run([large, slow, linked, row()], compiler)  # the last takes 1.5 s
    assert compiler.asked == [PLAIN]
    assert (found.too_large, found.slower, found.untried) == (1, 2, 0)
    assert "1 cannot fit and 2 cannot be faster; 0 not reached" in table(found)


def test_what_keeps_more_than_one_that_did_not_fit_is_not_compiled():
    kept = [row(remat=remat, compute=1 + i) for i, remat in enumerate(("full", "dots", "none"))]
    compiler = Compiler(trial(PLAIN, seconds=None, peak=40.0))
    found = run(kept, compiler)
    assert compiler.asked == [PLAIN]
    assert (found.fitting, found.too_large) == ([], 2)
    assert "does not fit" in table(found)


def test_a_setting_that_cannot_be_built_is_not_tried_with_other_remats():
    rows = [row(remat=remat, attention="blocks") for remat in ("full", "dots")]
    refused = [trial(each.layout, None, 0.0, fits=False, refused="no window") for each in rows]
    compiler = Compiler(*refused)
    found = run(rows, compiler)
    assert len(compiler.asked) == 1
    assert "no window" in table(found)


def test_the_time_is_looked_at_between_trials_and_what_it_does_not_reach_is_told():
    rows = [row(data=size) for size in (1, 2, 4, 8)]
    compiler, said = Compiler(), []
    found = run(rows, compiler, minutes=15, progress=said.append)
    assert len(compiler.asked) == 2
    assert found.untried == 2
    assert "".join(said).splitlines()[1].endswith("(10 s; 20 of 15 minutes)")


def test_it_goes_on_from_what_is_known(tmp_path):
    rows = [row(data=size) for size in (1, 2, 4, 8)]
    file = TrialFile({"recipe": "3b"}, tmp_path)
    file.add(trial(rows[0].layout, seconds=1.1))
    with file.path.open("a") as text:
        text.write('{"layout": {"data"')  # cut short
    compiler = Compiler()
    found = run(rows, compiler, known=file.read())
    assert rows[0].layout not in compiler.asked
    assert found.fitting[0] == trial(rows[0].layout, seconds=1.1)
    assert not TrialFile({"recipe": "20b"}, tmp_path).read()


def test_memory_traffic_of_a_path_is_learned_from_its_first_trial():
    """The first turns out to be held by HBM: another is tried before more of it."""
    first, second = values("attention")[:2]
    rows = [row(attention=path, data=size) for path in (first, second) for size in (4, 8)]
    compiler = Compiler(*(trial(each.layout, seconds=3.0, memory=3.0) for each in rows[:2]))
    run(rows, compiler)
    assert [layout.attention for layout in compiler.asked] == [first, second, second, first]


def test_of_layouts_that_should_take_as_long_the_one_without_a_pipeline_is_tried_first():
    pipelined = row(compute=1.0, data=4, stage=2, num_microbatches=2)
    compiler = Compiler()
    run([pipelined, row(compute=1.01)], compiler, minutes=1)
    assert compiler.asked == [PLAIN]


def test_what_grew_too_large_for_one_path_waits_with_the_others():
    """Reckoned to fit, `dots` takes five times as much; `full` is then tried before more of it."""
    first, second = values("attention")[:2]
    rows = [row(gib=4, compute=0.9, remat="dots", attention=path) for path in (first, second)]
    compiler = Compiler(trial(rows[0].layout, seconds=None, peak=20.0))
    run([*rows, row(compute=1.4)], compiler, minutes=15)
    assert compiler.asked == [rows[0].layout, PLAIN]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "8 x 1 x 1, remat full, dense"),
        ({"fsdp": True}, "8 x 1 x 1, fsdp, remat full, dense"),
        ({"stage": 4, "num_microbatches": 8}, "8 x 4 x 1, 8 microbatches, all rounds, remat full"),
    ],
)
def test_layouts_are_named(settings, name):
    assert dataclasses.replace(PLAIN, **settings).name.startswith(name)
