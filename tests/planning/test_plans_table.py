"""The README's table of plans is made from the plans' JSON."""

import json

import pytest

from benchmarks import plans

PLAN = {
    "topology": "v4:8x8x16",
    "batch_size": 8192,
    "mesh": {"data": 64, "stage": 16, "model": 1},
    "train_fits": True,
    "peak_hbm_gib": 21.449,
    "hbm_available_gib": 30.75,
    "bubble_fraction": 15 / 271,
    "collectives": [
        {"in_loop": True, "total_bytes": 3 * 2**30},
        {"in_loop": False, "total_bytes": 2**29},
    ],
    "model_flops_per_step": 123456789,
    "estimated_step_seconds": 8.123,
    "estimated_mfu": 0.4321,
    "compile_seconds": 99.6,
    "quick": False,
    "sampling": {"peak_hbm_gib": 9.0, "fits": True, "compile_seconds": 50.2},
}


def test_a_line_a_plan():
    line = plans.table({"20b@v4_1024": PLAN}).splitlines()[2]
    assert line == (
        "| 20B, 8,192 | v4:8x8x16, 64 x 16 x 1 | 21.4 of 30.75 | 5.5% | 3.0 / 0.5 | 1.23e+08 "
        "| 8.12 s, 43% | 9.0 | 100 + 50 s |"
    )
    assert "| VIM base, 8,192 |" in plans.table({"vim_base@v6e_64": PLAN})


def test_what_does_not_fit_says_so():
    refused = PLAN | {
        "train_fits": False, "collectives": [], "bubble_fraction": 0.0,
        "estimated_step_seconds": None, "estimated_mfu": None,
    }  # fmt: skip
    line = plans.table({"20b@v5e_256": refused}).splitlines()[2]
    assert "| 21.4 of 30.75: does not fit | none |  | 1.23e+08 |  |" in line


def test_it_goes_between_the_markers_and_replaces_what_was_there():
    text = f"above\n{plans.BEGIN}\nold\n{plans.END}\nbelow\n"
    new = plans.insert(text, "| new |")
    assert new == f"above\n{plans.BEGIN}\n| new |\n{plans.END}\nbelow\n"
    assert plans.insert(new, "| new |") == new
    with pytest.raises(ValueError, match="has no"):
        plans.insert("no markers", "| new |")


def test_only_plans_that_were_compiled_are_in_it(tmp_path, monkeypatch):
    monkeypatch.setattr(plans, "FOLDER", tmp_path)
    (tmp_path / "3b@v4_512.json").write_text(json.dumps(PLAN))
    assert list(plans.read_figures(["3b@v4_512", "20b@v4_1024"])) == ["3b@v4_512"]


def test_every_plan_names_a_size_and_a_machine():
    for name in plans.PLANS:
        model, machine = name.split("@")
        assert (plans.ROOT / f"gin/models/{model}.gin").is_file()
        assert (plans.ROOT / f"configs/{machine}.py").is_file()
