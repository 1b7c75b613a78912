"""A fourth drawing style for the quickstart's model, by all of it or by LoRA; what it forgets.

    bash launch/quickstart.sh
    python -m benchmarks.finetuning [--run runs/quickstart/text_to_image] [--seeds 0 1 2]

The style is OpenMoji's (CC BY-SA 4.0, fetched with npm; none of its pictures is in the repository):
the quickstart's 12 occupations of 2 genders in 6 tones. The pictures to learn from are those whose
triples the quickstart's training has as well, or a number of them; asked for are those that
are held out in every style, with 4 samples each. A sample is right when the nearest of all real
pictures, of all four styles, is the one that its prompt describes (evaluation/retrieval.py).
What the run's tokenizer keeps of the real ones is scored the same way: it never saw the style,
but for the row whose decoder goes on first;
*guided* is with a guidance weight of 2.
Forgotten is what the old styles lose on held-out prompts (4 samples) and on 192 seen ones.

Each row is a run of `babeldraw finetune`, timed as a process; what was trained or scored before is
kept.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

STYLE, PACKAGE, VERSION = "openmoji", "@iconify-json/openmoji", "1.2.29"
SIZE = 32
FEW = 20
SAMPLES = 4
SEEN = 192
GUIDANCE = 2.0
SCORES = (
    *("new", "new, guided", "new: style", "new: occupation and gender", "new, by the tokenizer"),
    *("old held-out", "old held-out, guided", "old seen"),
)
COSTS = ("megabytes", "seconds", "cpu_seconds")


class Kind(NamedTuple):
    """A way to learn the style: words of `babeldraw finetune`, and whether of `FEW` pictures."""

    words: tuple[str, ...]
    few: bool = False


KINDS = {
    "all of it": Kind(()),
    "all of it, with its decoder": Kind(("--decoder",)),
    "LoRA": Kind(("--lora", "8")),
    "all of it, from nothing": Kind(("--gin.INIT_FROM=''",)),
    "all of it, no prior": Kind(("--prior", "none")),
    "all of it, prior drawn": Kind(("--prior", "drawn")),
    f"all of it, {FEW} pictures": Kind((), few=True),
    f"LoRA, {FEW} pictures": Kind(("--lora", "8"), few=True),
}


def build(folder: Path) -> dict[str, Any]:
    """Writes `all/` and `few/` with captions; returns held-out pictures and captions, and all."""
    import numpy as np
    from PIL import Image

    from babeldraw.data.sets import emoji, emoji_build, emoji_sheets

    wanted = [f"{PACKAGE}/icons.json", f"{PACKAGE}/chars.json"]
    modules = emoji_build.install(folder / "npm", {PACKAGE: VERSION}, wanted)
    icons = emoji_build.icons_of(*(json.loads((modules / name).read_text()) for name in wanted))
    cells = emoji_sheets.read_cells(emoji_sheets.find_folder(SIZE))
    chosen_cells = [cells[index] for index in emoji.select_cells(cells, "quickstart")]
    own = [cell for cell in chosen_cells if cell.style == "noto"]  # the same triples in each style
    images = [emoji_build.render(icons[cell.concept], SIZE) for cell in own]
    captions = [cell.caption.replace("noto style", f"{STYLE} style") for cell in own]
    held = [cell.split != "train" for cell in own]
    trained = [index for index, out in enumerate(held) if not out]
    chosen = np.random.default_rng(0).permutation(trained)[:FEW]
    for name, rows in (("all", trained), ("few", chosen)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for row in rows:
            Image.fromarray(images[row]).save(folder / name / f"{row:03d}.png")
            (folder / name / f"{row:03d}.txt").write_text(captions[row] + "\n")
    return {"images": np.stack(images), "captions": np.array(captions), "held": np.array(held)}


def finetune(args: argparse.Namespace, kind: Kind, seed: int, output: Path) -> dict[str, float]:
    """Runs the command; its seconds, by the wall and by the CPUs, from start to end."""
    data = Path(args.output) / "data" / ("few" if kind.few else "all")
    words = ["--from", args.run, "--data", f"folder:{data}", "--word", f"{STYLE} style"]
    words += ["--output", str(output), "--seed", str(seed), *kind.words, *args.extra]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "babeldraw.cli.main", "finetune", *words], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": time.perf_counter() - began, "cpu_seconds": cpu}


def score(
    args: argparse.Namespace, new: dict[str, Any], run: str, loras: Any = ()
) -> dict[str, Any]:
    """Shares of samples that are right: of the new style, and of the old ones."""
    import numpy as np

    from babeldraw.cli.support.prompts import encode_prompts
    from babeldraw.cli.support.runs import open_run
    from babeldraw.evaluation.quickstart import CUTOFF
    from babeldraw.evaluation.retrieval import Gallery, nearest, top1
    from benchmarks.quickstart_run import open_quickstart

    old = open_quickstart(args.run)
    count = len(old.gallery.images)
    concepts = [caption.rpartition(", ")[0] for caption in new["captions"]]
    before = [c.rpartition(", ")[0] for c in (*old.train["caption"], *old.heldout["caption"])]
    gallery = Gallery(
        np.concatenate([old.gallery.images, new["images"]]),
        np.array([*before, *concepts]),
        np.concatenate([old.gallery.styles, np.full(len(concepts), STYLE)]),
    )
    opened = open_run(run, wanted="sampler", added=loras)
    draw = opened.sampler(cutoff=CUTOFF, batch_size=48)
    guided = opened.sampler(cutoff=CUTOFF, batch_size=48, guidance_weight=GUIDANCE)
    held = np.flatnonzero(new["held"])
    text = encode_prompts(list(new["captions"][held]), opened.vocabulary, draw.model)
    seen = np.random.default_rng(0).permutation(len(old.train["image"]))[:SEEN]
    of_old = old.heldout["text_tokens"]
    place = len(old.train["image"]) + np.arange(len(of_old))
    asked = {
        "new": (draw, text, count + held, SAMPLES),
        "new, guided": (guided, text, count + held, SAMPLES),
        "old held-out": (draw, of_old, place, SAMPLES),
        "old held-out, guided": (guided, of_old, place, SAMPLES),
        "old seen": (draw, old.train["text_tokens"][seen], seen, 1),
    }
    found: dict[str, Any] = {}
    for name, (sampler, tokens, rows, samples) in asked.items():
        drawn = sampler(tokens, num_samples=samples, seed=0)
        flat = drawn.reshape(-1, *drawn.shape[2:])
        found[name] = float(top1(flat, np.repeat(rows, samples), gallery)[1].mean())
        if name == "new":
            found["drawn"] = drawn[:, 0]
            shown = nearest(flat, gallery.images)
            found["new: style"] = float(np.mean(gallery.styles[shown] == STYLE))
            who, wanted = gallery.concepts[shown], gallery.concepts[np.repeat(rows, samples)]
            same = [a.split(",")[0] == b.split(",")[0] for a, b in zip(who, wanted, strict=True)]
            found["new: occupation and gender"] = float(np.mean(same))
    codec = opened.codec(48)
    kept = codec.decode(codec.encode(new["images"][held]))
    found["new, by the tokenizer"] = float(top1(kept, count + held, gallery)[1].mean())
    return found


def sheet(file: Path, new: dict[str, Any], drawn: Any) -> None:
    """Real held-out pictures of the new style above, drawn ones below."""
    import numpy as np
    from PIL import Image

    real = new["images"][new["held"]]
    rows = np.stack([real[:12], drawn[:12], real[12:24], drawn[12:24]])
    image = rows.transpose(0, 2, 1, 3, 4).reshape(4 * SIZE, 12 * SIZE, 3)
    Image.fromarray(image).resize((12 * SIZE * 3, 4 * SIZE * 3), Image.Resampling.NEAREST).save(
        file
    )


def main() -> None:
    """Prints a line a run, and the table over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default="runs/quickstart/text_to_image", metavar="DIR")
    parser.add_argument("--output", default="runs/finetuning", metavar="DIR")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--extra", nargs="*", default=[], help="further words of the command")
    args = parser.parse_args()
    output = Path(args.output)
    new = build(output / "data")
    results: dict[str, Any] = {}
    file = output / "results.json"
    if file.exists():
        results = json.loads(file.read_text())
    before = results.setdefault("before", {})
    if not {*SCORES} <= before.keys():
        before |= score(args, new, args.run)
        before.pop("drawn")
        _keep(file, results)
    print("before", before, flush=True)
    for seed in args.seeds:
        for name in args.kinds:
            found = results.setdefault(f"{name} / {seed}", {})
            kind = KINDS[name]
            where = output / f"{name.replace(', ', '-').replace(' ', '_')}-{seed}"
            lora = where / "lora.safetensors"
            if "cpu_seconds" not in found:
                shutil.rmtree(where, ignore_errors=True)
                found |= finetune(args, kind, seed, where)
                params = next((where / "checkpoints").glob("*/params"))
                found["megabytes"] = _megabytes(lora if lora.exists() else params)
                _keep(file, results)
            if not {*SCORES} <= found.keys():
                changed = ((str(lora), 1.0),) if lora.exists() else ()
                found |= score(args, new, args.run if changed else str(where), changed)
                sheet(output / f"{where.name}.png", new, found.pop("drawn"))
                _keep(file, results)
            print(name, seed, {key: round(found[key], 3) for key in (*SCORES, *COSTS)}, flush=True)
    table(results, args)


def _keep(file: Path, results: dict[str, Any]) -> None:
    file.write_text(json.dumps(results, indent=1))


def _megabytes(place: Path) -> float:
    files = [place] if place.is_file() else [f for f in place.rglob("*") if f.is_file()]
    return sum(f.stat().st_size for f in files) / 1e6


def table(results: dict[str, Any], args: argparse.Namespace) -> None:
    """Means and standard deviations over the seeds."""
    import numpy as np

    columns = (*SCORES, *COSTS)
    print(f"| | seeds | {' | '.join(columns)} |")
    before = results["before"]
    cells = [f"{before[c]:.3f}" if c in before else "-" for c in columns]
    print(f"| before | - | {' | '.join(cells)} |")
    for name in args.kinds:
        rows = [results[f"{name} / {seed}"] for seed in args.seeds]
        means = [(np.mean([r[c] for r in rows]), np.std([r[c] for r in rows])) for c in columns]
        cells = [f"{mean:.3f}" + (f" ± {std:.3f}" if len(rows) > 1 else "") for mean, std in means]
        print(f"| {name} | {len(rows)} | {' | '.join(cells)} |")


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
