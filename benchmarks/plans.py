"""Plans of the published sizes from the real TPU compiler, and the README's table of them.

    python -m benchmarks.plans                 # compile all; a few minutes each on two cores
    python -m benchmarks.plans 3b@v4_512       # some of them
    python -m benchmarks.plans --quick NAME... # the compiler optimises least: several times faster
    python -m benchmarks.plans --table         # only write the table, from the JSON that is there

Each plan is `babeldraw plan --json` in a process of its own; its JSON is kept in build/plans/, from
which the table between `<!-- plans:begin -->` and `<!-- plans:end -->` of the README is made.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "build/plans"
BEGIN, END = "<!-- plans:begin -->", "<!-- plans:end -->"

PLANS = {
    "350m@v5p_128": 8192,
    "750m@v5p_128": 8192,
    "3b@v4_512": 8192,
    "3b@v4_512_in_layer": 8192,
    "3b@v5p_128": 8192,
    "3b@v5e_128": 2048,
    "3b@v5e_512": 8192,
    "3b@v6e_64": 2048,
    "3b@tpu7x_64": 8192,
    "20b@v4_1024": 8192,
    "20b@v5p_512": 8192,
    "20b@v5e_256": 2048,
    "20b@v6e_256": 2048,
    "20b@tpu7x_128": 8192,
    "vim_base@v6e_64": 1024,
    "vim_large@v6e_64": 1024,
}
"""gin/models/MODEL.gin @ configs/MACHINE.py -> batch size, in the table's order."""

RECIPE = ("runs/text_to_image", "tokenizers/small_small", "tasks/coco")
VIM = ("runs/image_tokens", "tokenizers/small_small", "tasks/imagenet")
"""The rest of the recipe: from texts, and of models whose name begins with `vim_`."""


def run_plan(name: str, quick: bool = False) -> dict[str, Any]:
    """Compiles one plan; its figures as `babeldraw plan --json` prints them."""
    model, machine = name.split("@")
    files = (*(VIM if model.startswith("vim_") else RECIPE), f"models/{model}")
    command = [
        *(sys.executable, "-m", "babeldraw.cli.main", "plan", "--json"),
        *(f"--gin_file=gin/{file}.gin" for file in files),
        f"--config=configs/{machine}.py",
        f"--gin.BATCH_SIZE={PLANS[name]}",
        *(["--quick"] if quick else []),
    ]
    print(f"{name}:", flush=True)
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (0, 1):  # 1: it does not fit
        raise RuntimeError(f"{' '.join(command)} failed")
    return json.loads(done.stdout)


def table(figures: dict[str, dict[str, Any]]) -> str:
    """The README's table, a line a plan."""
    lines = [
        "| model, batch | slice, mesh (data x stage x model) | train: peak GiB a chip | bubble | "
        "collectives, GiB a step: in loops / outside | model FLOPs a step | "
        "step, MFU (estimates) | sampling: peak GiB a chip | compiled in |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, plan in figures.items():
        inside, outside = (
            sum(row["total_bytes"] for row in plan["collectives"] if row["in_loop"] is where)
            / 2**30
            for where in (True, False)
        )
        mesh = " x ".join(str(size) for size in plan["mesh"].values())
        seconds, mfu = plan["estimated_step_seconds"], plan["estimated_mfu"]
        sampling = plan["sampling"]
        peak = f"{plan['peak_hbm_gib']:.1f} of {plan['hbm_available_gib']:.2f}"
        cells = [
            f"{_title(name)}, {plan['batch_size']:,}",
            f"{plan['topology']}, {mesh}",
            peak if plan["train_fits"] else f"{peak}: does not fit",
            f"{plan['bubble_fraction']:.1%}" if plan["bubble_fraction"] else "none",
            f"{inside:.1f} / {outside:.1f}" if plan["train_fits"] else "",
            f"{plan['model_flops_per_step']:.3g}",
            f"{seconds:.2f} s, {mfu:.0%}" if seconds else "",
            f"{sampling['peak_hbm_gib']:.1f}{'' if sampling['fits'] else ': does not fit'}",
            f"{plan['compile_seconds']:.0f} + {sampling['compile_seconds']:.0f} s"
            + (" (quick)" if plan["quick"] else ""),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _title(name: str) -> str:
    """`3B`, or `VIM base`."""
    family, _, size = name.split("@")[0].partition("_")
    return f"{family.upper()} {size}".rstrip()


def insert(text: str, new: str) -> str:
    """`text` with `new` between the markers.

    Raises:
      ValueError: the markers are missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"README.md has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{new}\n{END}{after}"


def read_figures(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Of those plans that have been compiled."""
    paths = {name: FOLDER / f"{name}.json" for name in names}
    return {name: json.loads(path.read_text()) for name, path in paths.items() if path.is_file()}


def main() -> None:
    """Compiles, then writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="MODEL@MACHINE", help="default: all")
    parser.add_argument("--quick", action="store_true", help="as `babeldraw plan --quick`")
    parser.add_argument("--table", action="store_true", help="compile nothing")
    args = parser.parse_args()
    unknown = set(args.names) - set(PLANS)
    if unknown:
        parser.error(f"no plan {', '.join(sorted(unknown))}; there are {', '.join(PLANS)}")
    if not args.table:
        for name in args.names or PLANS:
            figures = run_plan(name, args.quick)
            FOLDER.mkdir(parents=True, exist_ok=True)
            (FOLDER / f"{name}.json").write_text(json.dumps(figures))
    text = table(read_figures(list(PLANS)))
    readme = ROOT / "README.md"
    readme.write_text(insert(readme.read_text(), text))
    print(text)


if __name__ == "__main__":
    main()
