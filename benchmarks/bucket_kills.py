"""A run in an object store, killed and brought back on other hosts, ends in the same bits.

    python -m benchmarks.bucket_kills [--rounds 20] [--seed 0]

The store is fake-gcs-server on loopback. The run is `babeldraw train` on two devices, by turns
those of one process and those of two: two players with dropout, a checkpoint after every step. In
each round all processes are killed with SIGKILL at a random moment, up to a second after a
checkpoint of that round is whole. The last life runs to the end; then every array of its state, and
every logged loss, is compared with those of a run on a disk, of one process, that nobody killed.
"""

import argparse
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.going_on.bucket import BUCKET, ROOT, Bucket, serving

LAST_STEPS = 2
"""Of the last life."""

LONGEST_LIFE = 300
"""Seconds."""

MACHINE = """\
from ml_collections import ConfigDict

def get_config():
    mesh = {"data": 2, "stage": 1, "model": 1}
    return ConfigDict({"name": "two", "mesh": mesh, "checkpoint_every": 1, "checkpoint_keep": 2})
"""

COMPARE = """\
import sys
from benchmarks.kill_test import compare
print(*compare(*sys.argv[1:3], int(sys.argv[3])))
"""


def start(
    bucket: Bucket, folder: Path, model_dir: str, processes: int, steps: int
) -> list["subprocess.Popen[bytes]"]:
    """The processes of one life; each writes folder/process-I.log."""
    environment = bucket.environment | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={2 // processes}",
    }
    words = ["train", "--gin_file=tests/launch/toy.gin", f"--gin.TRAIN_STEPS={steps}"]
    words += [f"--config={folder / 'machine.py'}", f"--model_dir={model_dir}"]
    cluster: list[str] = []
    if processes > 1:
        environment["JAX_CPU_COLLECTIVES_IMPLEMENTATION"] = "gloo"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        cluster = [f"--coordinator_address=127.0.0.1:{port}", f"--num_processes={processes}"]
    started = []
    for index in range(processes):
        own = [*cluster, f"--process_id={index}"] if cluster else []
        with (folder / f"process-{index}.log").open("wb") as log:
            command = [sys.executable, "-m", "babeldraw.cli.main", *words, *own]
            started.append(
                subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
            )
    return started


def latest(bucket: Bucket, name: str) -> int:
    """The last step of which a whole checkpoint lies in the bucket; 0 for none."""
    found = (re.search(r"checkpoints/(\d+)/commit_success", path) for path in bucket.names(name))
    return max((int(match[1]) for match in found if match), default=0)


def said(folder: Path) -> str:
    """What the first process has written."""
    return (folder / "process-0.log").read_text()


def live_and_die(
    bucket: Bucket, folder: Path, name: str, processes: int, steps: int, chance: random.Random
) -> str:
    """One round; what happened in it."""
    before, began = latest(bucket, name), time.monotonic()
    started = start(bucket, folder, f"gs://{BUCKET}/{name}", processes, steps)
    while latest(bucket, name) == before:
        if any(process.poll() is not None for process in started):
            raise RuntimeError(f"a process ended by itself:\n{said(folder)[-4000:]}")
        if time.monotonic() - began > LONGEST_LIFE:
            raise RuntimeError(f"no checkpoint in {LONGEST_LIFE} s:\n{said(folder)[-4000:]}")
        time.sleep(0.02)
    time.sleep(chance.uniform(0, 1))
    for process in chance.sample(started, len(started)):
        process.kill()
    for process in started:
        process.wait()
    resumed = re.search(r"resumed from step (\d+)", said(folder))
    went_on = int(resumed[1]) if resumed else 0
    if went_on != before:
        raise RuntimeError(f"it went on from step {went_on}, and step {before} was whole")
    after = latest(bucket, name)
    return f"{processes} hosts, from step {before}, last whole checkpoint {after}"


def finish(bucket: Bucket, folder: Path, model_dir: str, processes: int, steps: int) -> None:
    """A life that nobody ends."""
    for process in start(bucket, folder, model_dir, processes, steps):
        if process.wait(LONGEST_LIFE) != 0:
            raise RuntimeError(f"it ended with {process.returncode}:\n{said(folder)[-4000:]}")


def run(rounds: int, seed: int) -> tuple[int, int]:
    """How many arrays and losses were compared, all of the same bits."""
    chance, steps = random.Random(seed), 1000 * rounds
    with tempfile.TemporaryDirectory() as name, serving() as bucket:
        folder = Path(name)
        (folder / "machine.py").write_text(MACHINE)
        for index in range(rounds):
            what = live_and_die(bucket, folder, "killed", 1 + index % 2, steps, chance)
            print(f"round {index + 1}: {what}", flush=True)
        end = latest(bucket, "killed") + LAST_STEPS
        finish(bucket, folder, f"gs://{BUCKET}/killed", 1 + rounds % 2, end)
        finish(bucket, folder, str(folder / "whole"), 1, end)
        places = [str(folder / "whole"), f"gs://{BUCKET}/killed"]
        arrays, losses = bucket.run("-c", COMPARE, *places, end).split()[-2:]
        return int(arrays), int(losses)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    began = time.monotonic()
    arrays, losses = run(args.rounds, args.seed)
    print(
        f"{args.rounds} rounds in {time.monotonic() - began:.0f} s, load {os.getloadavg()[0]:.1f}: "
        f"all {arrays} arrays and {losses} losses are the same bits"
    )


if __name__ == "__main__":
    main()
