"""Contract: what a 4x4 pipelined mesh saved goes on in any layout, from the same bits, alike."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.going_on import layouts
from tests.training.test_processes import run_two

pytestmark = pytest.mark.slow

START = """
import sys
from pathlib import Path
from tests.going_on import layouts

model_dir = Path(sys.argv[1])
"""
TWO_HOSTS = """
from tests.going_on import layouts

layouts.restore_then_go_on(model_dir, 8, mesh={"data": 8})
"""
GO_ON = {
    "pipelined": "layouts.restore_then_go_on(model_dir, 16, **layouts.PIPELINED)",
    "data parallel": "layouts.restore_then_go_on(model_dir, 16, mesh={'data': 16})",
    "in parts": "layouts.restore_then_go_on(model_dir, 8, mesh={'data': 8}, accumulate=2)",
    "sequential": "layouts.restore_then_go_on(model_dir, 1)",
}


def run_one(model_dir, program):
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=16 "
        "--xla_backend_optimization_level=0",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    command = [sys.executable, "-c", START + program, str(model_dir)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr


def test_saved_on_a_pipelined_mesh_goes_on_anywhere(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "compiled"))
    saved = tmp_path / "saved"
    run_one(saved, f"layouts.go_on(model_dir, {layouts.SAVED}, 16, **layouts.PIPELINED)")
    names = [*GO_ON, "two hosts"]
    for name in names:
        shutil.copytree(saved, tmp_path / name)
    for name, program in GO_ON.items():
        run_one(tmp_path / name, program)
    run_two(tmp_path / "two hosts", layouts.STEPS, TWO_HOSTS)

    restored = {name: dict(np.load(tmp_path / name / "restored.npz")) for name in names}
    expected, losses = restored["pipelined"], layouts.losses(tmp_path / "pipelined")
    assert set(losses) == {1, 2, 3, 4}
    assert any(array.dtype == np.int8 for array in expected.values())
    for name in names[1:]:
        assert restored[name].keys() == expected.keys()
        for variable, array in restored[name].items():
            np.testing.assert_array_equal(array, expected[variable], err_msg=variable)
        for step, loss in layouts.losses(tmp_path / name).items():
            assert loss == pytest.approx(losses[step], rel=1e-6), (name, step)
