"""What each rung trains and what it needs, as the tables of docs/rungs.md.

    python -m benchmarks.rungs            # write the table of the recipes, from the gin files
    python -m benchmarks.rungs --memory   # compile those for GPUs first; minutes each on two cores

XLA compiles for a GPU only where there is one. The memory is that of one chip of a TPU v6e slice
with the same batch a chip, by the TPU compiler: another compiler's, so take it for a size.
"""

import argparse
import json
import subprocess
import sys
from typing import Any

import gin
import jax

from babeldraw.cli.support.gin_config import parse_gin
from babeldraw.cli.support.rungs import RUNGS, STAGES, Rung
from benchmarks.plans import ROOT

PAGE = ROOT / "docs/rungs.md"
FOLDER = ROOT / "build/rungs"
TOPOLOGY, CHIPS = "v6e:2x4", 8

FINER = "32x32"
FIGURES = {
    "cpu": "not run at full length",
    "evening": "not run",
    "gpu_hour": "not run",
    "gpu_day": "not run",
}
"""Where the figures of each stand."""


def files_of(rung: Rung, stage: str, finer: bool = False) -> list[str]:
    """The gin files of a stage; `finer`: with 32 x 32 tokens."""
    return [rung.recipe(stage), *([f"gin/rungs/{FINER}.gin"] if finer else [])]


def recipes() -> str:
    """The table of what each rung trains."""
    lines = [
        "| rung, stage | px | tokens, codes | parameters | batch | steps, warm-up | rate | EMA | "
        "figures |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for rung in RUNGS:
        for stage in STAGES:
            parse_gin(files_of(rung, stage), [], unneeded=("MODEL_DIR", "TOKENIZER_CHECKPOINT"))
            built = gin.query_parameter("loop.train.objective").scoped_configurable_fn()
            count = sum(leaf.size for leaf in jax.tree.leaves(built.abstract_params[stage]))
            macro = {
                name: gin.query_parameter(f"%{name}")
                for name in (
                    *("IMAGE_SIZE", "CODEBOOK_SIZE", "BATCH_SIZE", "TRAIN_STEPS"),
                    *("WARMUP_STEPS", "LEARNING_RATE", "EMA_DECAY"),
                )
            }
            cells = [
                f"`{rung.name}`, {stage}",
                str(macro["IMAGE_SIZE"]),
                f"{built.model.num_tokens}, {macro['CODEBOOK_SIZE']:,}",
                f"{count / 1e6:.2f}M",
                str(macro["BATCH_SIZE"]),
                f"{macro['TRAIN_STEPS']:,}, {macro['WARMUP_STEPS']:,}",
                f"{macro['LEARNING_RATE']:g}",
                f"{macro['EMA_DECAY']:g}",
                FIGURES[rung.name],
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def compile_for_memory(rung: Rung, stage: str, finer: bool) -> dict[str, Any]:
    """Figures of `babeldraw plan --json --quick` with the rung's batch on each chip."""
    names = files_of(rung, stage, finer)
    parse_gin(names, [], unneeded=("MODEL_DIR", "TOKENIZER_CHECKPOINT"))
    batch = gin.query_parameter("%BATCH_SIZE")
    command = [
        *(sys.executable, "-m", "babeldraw.cli.main", "plan", "--json", "--quick"),
        *(f"--gin_file={name}" for name in names),
        *("--config=configs/gpu_24gb.py", f"--topology={TOPOLOGY}"),
        f"--gin.BATCH_SIZE={batch * CHIPS}",
    ]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (0, 1):  # 1: it does not fit
        raise RuntimeError(f"{' '.join(command)} failed")
    return json.loads(done.stdout)


def memory() -> str:
    """The table of what has been compiled."""
    lines = [
        "| rung, stage | tokens | batch a chip | train: peak GiB | of these weights and optimizer "
        "| drawing 16: peak GiB |",
        "|---|---|---|---|---|---|",
    ]
    for file in sorted(FOLDER.glob("*.json")):
        plan = json.loads(file.read_text())
        rung, stage, tokens = file.stem.split("@")
        parts, drawing = plan["memory_gib"], plan["sampling"]
        kept = parts["weights"] + parts["optimizer_state"]
        cells = [
            f"`{rung}`, {stage}",
            tokens,
            str(plan["batch_size"] // CHIPS),
            f"{plan['peak_hbm_gib']:.1f}",
            f"{kept:.1f}",
            f"{drawing['peak_hbm_gib']:.1f}" if drawing else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def insert(text: str, name: str, table: str) -> str:
    """`text` with `table` between `<!-- NAME:begin -->` and `<!-- NAME:end -->`."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"docs/rungs.md has no {begin} and {end}")
    return f"{before}{begin}\n{table}\n{end}{after}"


def main() -> None:
    """Compiles if asked, then writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--memory", action="store_true", help="compile, too")
    args = parser.parse_args()
    if args.memory:
        FOLDER.mkdir(parents=True, exist_ok=True)
        for rung in (rung for rung in RUNGS if rung.accelerated):
            for finer in (False, True)[: 1 + (rung.name == "gpu_day")]:
                for stage in STAGES:
                    name = f"{rung.name}@{stage}@{'32x32' if finer else '16x16'}"
                    print(f"{name}:", flush=True)
                    figures = compile_for_memory(rung, stage, finer)
                    (FOLDER / f"{name}.json").write_text(json.dumps(figures))
    text = insert(PAGE.read_text(), "rungs", recipes())
    if any(FOLDER.glob("*.json")):
        text = insert(text, "memory", memory())
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
