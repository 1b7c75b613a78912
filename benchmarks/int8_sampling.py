"""Drawing with weights of one byte: what the TPU compiler makes of it, and what it changes.

    python -m benchmarks.int8_sampling [--run runs/quickstart/text_to_image] [--models 350m 3b]

First a row a model, without and with `--int8`, compiled for one v5e chip and for four that split
the layers: one picture of 1,024 tokens, guidance 1.2, in bfloat16. It says what the parameters take
in a chip's memory, the program at its peak, and what drawing the picture moves to and from memory
by the compiled program, which bounds its time. Nothing of that is run.

Then, of a run: how far logits of seen and held-out captions move, how many pictures drawn greedily
keep all tokens, and seconds a picture of both on this machine, runs alternating, median. How many
pictures are right says `babeldraw evaluate --suite emoji --int8`.
"""

import argparse
import os
import statistics
import time
from pathlib import Path
from typing import Any

TOPOLOGY = "v5e:2x2"
GUIDANCE = 1.2
RECIPE = ("gin/runs/text_to_image.gin", "gin/tokenizers/small_small.gin", "gin/tasks/coco.gin")


def compiled_rows(names: list[str]) -> None:
    """The table of what the compiler says."""
    import dataclasses

    from babeldraw.cli.support import gin_config
    from babeldraw.cli.support.recipes import read_recipe
    from babeldraw.parallel.mesh import make_mesh
    from babeldraw.planning import traffic
    from babeldraw.planning.environment import prepare_environment
    from babeldraw.planning.hlo import Program
    from babeldraw.planning.programs import GIB, abstract_sampler, compile_sampling
    from babeldraw.planning.topologies import find_topology, topology_devices

    prepare_environment()
    topology = find_topology(TOPOLOGY)
    devices = topology_devices(topology)
    print("| model, chips | weights | parameters GiB | peak GiB | moved a picture GiB | at least |")
    print("|---|---|---|---|---|---|")
    for name in names:
        recipe = [*RECIPE, f"gin/models/{name}.gin"]
        gin_config.parse_gin(recipe, [], "", ("MODEL_DIR", "TOKENIZER_CHECKPOINT"))
        objective, _ = read_recipe(recipe)
        for chips in (1, 4):
            mesh = make_mesh({"data": 1, "stage": 1, "model": chips}, devices[:chips])
            sampler = dataclasses.replace(abstract_sampler(objective, mesh), batch_size=1)
            for label, one in (("as they are", sampler), ("int8", sampler.as_int8())):
                program = compile_sampling(one)
                if program.refused:
                    print(f"| {name}, {chips} | {label} | does not fit | | | |", flush=True)
                    continue
                moved = traffic.hbm_bytes(Program(program.text))
                seconds = moved / topology.chip.hbm_bandwidth
                print(
                    f"| {name}, {chips} | {label} | {program.argument_bytes / GIB:.2f} "
                    f"| {program.peak_bytes / GIB:.2f} | {moved / GIB:,.0f} | {seconds:.2f} s |",
                    flush=True,
                )


def logits_of(sampler: Any, texts: Any, tokens: Any) -> Any:
    """Teacher-forced logits with a sampler's weights."""
    import jax

    from babeldraw.models import int8

    values, scales = int8.split(sampler._on_mesh[0])
    variables = {"params": values} | ({int8.SCALES: scales} if scales else {})
    return jax.jit(sampler.model.apply)(variables, texts, tokens)


def drawn_rows(run: str) -> None:
    """What the run draws with and without."""
    import dataclasses

    import numpy as np

    from babeldraw.cli.support.known_prompts import known_to
    from babeldraw.cli.support.models import open_model
    from babeldraw.pieces import encode

    opened = open_model(run, wanted="sampler")
    known = known_to(opened)
    assert known is not None
    prompts = [*known.seen[:64], *known.held_out[:64]]
    plain = opened.sampler(batch_size=16)
    small = plain.as_int8()
    texts = encode(prompts, opened.vocabulary, plain.model.text_length)
    greedy = [
        dataclasses.replace(one, temperature=0.0).generate(texts).tokens[:, 0]
        for one in (plain, small)
    ]
    before, after = (np.asarray(logits_of(one, texts, greedy[0])) for one in (plain, small))
    same = (greedy[0] == greedy[1]).all(axis=1)
    print(f"\n{run}, {len(prompts)} prompts")
    print(f"logits from {before.min():.1f} to {before.max():.1f}")
    off = np.abs(before - after)
    print(f"their differences: mean {off.mean():.3f}, largest {off.max():.2f}")
    agree = (before.argmax(-1) == after.argmax(-1)).mean()
    print(f"most probable token the same: {agree:.3f}; greedy pictures alike: {same.mean():.2f}")
    times: dict[str, list[float]] = {"as they are": [], "int8": []}
    for _ in range(5):
        for label, one in zip(times, (plain, small), strict=True):
            began = time.perf_counter()
            one.generate(texts[:1], num_samples=1)
            times[label].append(time.perf_counter() - began)
    middle = {label: statistics.median(each[1:]) for label, each in times.items()}
    print(f"one picture on this CPU: {middle['as they are']:.2f} s, int8 {middle['int8']:.2f} s "
          f"(load {os.getloadavg()[0]:.1f})")  # fmt: skip


def main() -> None:
    """Prints everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", default=["350m", "3b"])
    parser.add_argument("--run", default="runs/quickstart/text_to_image", type=Path)
    args = parser.parse_args()
    if args.models:
        compiled_rows(args.models)
    if args.run.exists():
        drawn_rows(str(args.run))
    else:
        print(f"\n{args.run} is not there: train it with `bash launch/quickstart.sh`, or name one.")


if __name__ == "__main__":
    main()
