"""A run of several processes, one of which is killed, is brought back and ends in the same bits.

    python -m benchmarks.babysitter [--rounds 10] [--recipe toy] [--output DIR] [--seed 0]

The run is `launch.run --on local --num_processes=4 --devices_per_process=2` on a 2x4 mesh: a recipe
of the tests with dropout, 12 steps, a checkpoint every 5. `toy` has two players and compiles in
seconds; `tiny` is text to image, with int8 moments. In each round a random process is killed with
SIGKILL after a random step, and the babysitter starts all of them again. Then every array of the
last checkpoint is compared with that of a run that nobody killed. The losses of that run are
compared with those of a run of one process.
"""

import argparse
import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
STEPS = 12


@dataclasses.dataclass(frozen=True)
class Round:
    """What happened in one round."""

    killed: int  # process
    step: int  # the last one logged before
    resumed: int  # the step that the restarted run went on from, 0 for the start
    identical: bool
    seconds: float


def start(model_dir: Path, processes: int, recipe: str) -> subprocess.Popen[str]:
    """The launcher, whose children are the run's processes."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "launch.run", "--on=local", f"--num_processes={processes}"),
            *(f"--devices_per_process={8 // processes}", f"--model_dir={model_dir}"),
            *("--config=configs/cpu_2x4.py", f"--gin_file=tests/launch/{recipe}.gin"),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """What the launcher prints until its end, which has to be a good one."""
    said = process.communicate()[0]
    if process.returncode != 0:
        raise RuntimeError(f"the run ended with {process.returncode}:\n{said[-4000:]}")
    return said


def run(model_dir: Path, processes: int, recipe: str) -> None:
    """A run that nobody disturbs."""
    finish(start(model_dir, processes, recipe))


def play(model_dir: Path, recipe: str, reference: dict[str, Any], chance: random.Random) -> Round:
    """One round."""
    began = time.monotonic()
    victim, after = chance.randrange(4), chance.randint(1, STEPS - 2)
    launcher = start(model_dir, 4, recipe)
    while len(losses(model_dir)) < after:
        if launcher.poll() is not None:
            finish(launcher)
            raise RuntimeError("the run ended before it could be killed")
        time.sleep(0.05)
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    step = len(losses(model_dir))
    os.kill(int(children[victim]), signal.SIGKILL)
    said = finish(launcher)
    assert "restart 1 of at most" in said, said
    resumed = [line for line in said.splitlines() if line.startswith("resumed from step")]
    found = arrays(model_dir)
    identical = found.keys() == reference.keys() and all(
        found[name].tobytes() == reference[name].tobytes() for name in reference
    )
    at = int(resumed[0].split()[3]) if resumed else 0
    return Round(victim, step, at, identical, time.monotonic() - began)


def losses(model_dir: Path) -> list[float]:
    """Of each step, in order, as far as they are logged."""
    path = model_dir / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    found = []
    for line in lines:
        try:
            record = json.loads(line)
            found.append(record.get("loss", record.get("painter/loss")))
        except ValueError:  # being written
            break
    return found


def arrays(model_dir: Path) -> dict[str, np.ndarray]:
    """Every array of the last checkpoint by its name."""
    from babeldraw import files
    from babeldraw.training.keeping.checkpoint_files import by_name, read_tree

    checkpoint = files.path(model_dir) / "checkpoints" / str(STEPS)
    trees = {item: read_tree(checkpoint / item) for item in ("params", "optimizer_state")}
    return by_name(trees)


def compare(output: Path, rounds: int, recipe: str, seed: int) -> tuple[float, list[Round]]:
    """Plays all rounds.

    Returns:
      The greatest relative difference of a loss between four processes and one, and the rounds.
    """
    shutil.rmtree(output, ignore_errors=True)
    run(output / "one", 1, recipe)
    run(output / "four", 4, recipe)
    one, four = (np.array(losses(output / name)) for name in ("one", "four"))
    assert len(one) == len(four) == STEPS, (one, four)
    reference, chance = arrays(output / "four"), random.Random(seed)
    played = []
    for index in range(rounds):
        played.append(play(output / f"killed-{index}", recipe, reference, chance))
        print(played[-1], flush=True)
    return float(np.max(np.abs(one - four) / one)), played


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--recipe", choices=("toy", "tiny"), default="toy")
    parser.add_argument("--output", type=Path, default=ROOT / "runs/babysitter")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    os.environ["JAX_PLATFORMS"] = "cpu"
    # Process 0 compiles once for all rounds; the others, on CPU, once a start (their keys differ).
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(args.output.resolve() / "compiled")
    difference, rounds = compare(args.output, args.rounds, args.recipe, args.seed)
    print(f"losses of 4 processes and of 1 differ by at most {difference:.1e} (relative)")
    print(f"{sum(r.identical for r in rounds)} of {len(rounds)} killed runs ended in the same bits")
    early = sum(r.resumed == 0 for r in rounds)
    print(f"{early} were killed before the first checkpoint and began again from the start")


if __name__ == "__main__":
    main()
