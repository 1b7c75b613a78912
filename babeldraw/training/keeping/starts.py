"""When and how a run was started: model_dir/starts.jsonl, a line each time. For people to read.

A line holds `step`, after which it began; `time`, in seconds since 1970; `command`; `babeldraw`,
the version, and `commit` of the checkout, "" without one; `seed`; `device`, `devices` and
`processes` of the mesh; `cores` of process 0.
"""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import jax
from etils import epath
from jax.sharding import Mesh

import babeldraw
from babeldraw.training.watching.metrics import append

NAME = "starts.jsonl"


def keep_start(directory: epath.Path, step: int, seed: int, mesh: Mesh) -> None:
    """Process 0 adds a line."""
    if jax.process_index() == 0:
        start = {
            "step": step,
            "time": round(time.time(), 3),
            "command": command(),
            "babeldraw": babeldraw.__version__,
            "commit": commit(),
            "seed": seed,
            "device": mesh.devices.flat[0].device_kind,
            "devices": mesh.size,
            "processes": jax.process_count(),
            "cores": os.cpu_count(),
        }
        append(directory / NAME, start)


def command() -> str:
    """What was typed, as a shell takes it, without the folder of the program."""
    name = Path(sys.argv[0]).name
    return shlex.join(["babeldraw" if name == "main.py" else name, *sys.argv[1:]])


def commit() -> str:
    """Of the checkout that this package lies in, with `-dirty` where it has been changed."""
    root = Path(babeldraw.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return ""
    describe = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        found = subprocess.run(describe, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):  # there is no git, or the disk is slow
        return ""
    return found.stdout.strip()
