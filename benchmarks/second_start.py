"""The second start of a command loads what the first one compiled: how much sooner it is there.

    python -m benchmarks.second_start [--starts 2]

Each command is a process of its own, `babeldraw`'s, with a cache of its own that is empty at first:
the quickstart's text-to-image recipe, trained for a step; pictures drawn of that run; and the plan
of the same recipe on a v5e slice. "there" is from the command to the end of the first step (its
record in metrics.jsonl), the pictures and the plan. "compiling" is what JAX says that compiling
took, or loading in its place; tracing is in neither start's. A plan's second start
loads no program: it reads what the compiler said the first time.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

COMPILING = "/jax/core/compile/backend_compile_duration"
HITS = "/jax/compilation_cache/cache_hits"


def count(file: str, arguments: list[str]) -> int:
    """Runs a command line in this process; writes what was compiled, and how long it took."""
    from babeldraw.cli import main
    from babeldraw.cli.support import compiled

    compiled.keep_programs()  # as `main` does, before JAX is imported
    import jax

    found = {"seconds": 0.0, "programs": 0, "loaded": 0}

    def timed(event, seconds, **unused):
        if event == COMPILING:
            found["seconds"] += seconds
            found["programs"] += 1

    def seen(event, **unused):
        found["loaded"] += event == HITS

    jax.monitoring.register_event_duration_secs_listener(timed)
    jax.monitoring.register_event_listener(seen)
    code = main.main(arguments)
    pathlib.Path(file).write_text(json.dumps(found))
    return code


def start(folder: pathlib.Path, arguments: list[str], run: pathlib.Path | None) -> dict[str, float]:
    """A start, with the cache in `folder`; `run`: a folder whose first step ends the wait."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "BABELDRAW_CACHE_DIR": str(folder)}
    counted = folder / "counted.json"
    began, clock = time.perf_counter(), time.time()
    command = [sys.executable, "-m", "benchmarks.second_start", "--count", str(counted), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    there = time.perf_counter() - began
    if run is not None:
        first = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])
        there = first["time"] - clock
    return {**json.loads(counted.read_text()), "there": there}


def main() -> None:
    """Prints a row a command and start."""
    if sys.argv[1:2] == ["--count"]:
        raise SystemExit(count(sys.argv[2], sys.argv[3:]))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=2)
    starts = parser.parse_args().starts
    print("| command | start | there | compiling | programs | of these loaded |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        home = pathlib.Path(temporary)
        short = [
            "--gin.TRAIN_STEPS=1",
            "--gin.LOG_EVERY=1",
            "--gin.EVAL_EVERY=0",
            "--gin.WARMUP_STEPS=0",
        ]
        stage_1 = ["train", "--gin_file=gin/runs/quickstart_tokenizer.gin", *short]
        start(home, [*stage_1, f"--model_dir={home}/tokenizer"], None)
        stage_2 = ["train", "--gin_file=gin/runs/quickstart_text_to_image.gin", *short]
        stage_2 += [f"--gin.TOKENIZER_CHECKPOINT={home}/tokenizer"]
        sample = ["sample", "a smiling face", f"--checkpoint={home}/run-0", f"--output={home}/out"]
        plan = ["plan", "--gin_file=gin/runs/quickstart_text_to_image.gin"]
        plan += ["--config=configs/v5e_16.py"]
        for name, arguments in (("train", stage_2), ("sample", sample), ("plan", plan)):
            cache = home / name
            cache.mkdir()
            for number in range(starts):
                run = home / f"run-{number}" if name == "train" else None
                more = [f"--model_dir={run}"] if run else []
                took = start(cache, [*arguments, *more], run)
                print(
                    f"| `{name}` | {number + 1} | {took['there']:.1f} s | {took['seconds']:.2f} s "
                    f"| {took['programs']} | {took['loaded']} |",
                    flush=True,
                )
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
