"""Is the best of 16 samples, as a CoCa sees it, better than any of the 16?

    bash launch/quickstart.sh
    python -m benchmarks.sampling_rerank --run runs/quickstart/text_to_image

Draws 16 samples of every held-out prompt of the quickstart. One CoCa (gin/runs/coca_small.gin)
chooses the best of each. Another, of another size and seed, that took no part in the choice,
reports: how often a sample is nearer to its own prompt than to any other of the task's 432 (top-1),
and the mean cosine. Beside it the pixels' word: is the sample nearest to the prompted real picture?
Both CoCas are trained on the people of the shipped emoji without the held-out ones, where DIRECTORY
does not hold them already.
"""

import argparse
import os
import time
from pathlib import Path

JUDGES = {
    "chooser": ["SEED = 0"],
    "reporter": [
        "SEED = 1",
        "coca.CoCa.d_model = 96",
        "coca.CoCa.image_layers = 3",
        "coca.CoCa.text_layers = 1",
        "coca.CoCa.num_queries = 4",
    ],
}


def train_judge(directory: Path, settings: list[str]) -> None:
    """Trains a CoCa there unless there is one."""
    if (directory / "settings.json").exists():
        return
    from babeldraw.cli.support.machines import load_machine_file, set_environment
    from babeldraw.cli.support.recipes import train_recipe

    machine = load_machine_file("configs/cpu.py")
    set_environment(machine)
    train_recipe(
        ["gin/runs/coca_small.gin"], [f"MODEL_DIR = {str(directory)!r}", *settings], machine
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default="runs/quickstart/text_to_image", metavar="DIR")
    parser.add_argument("--directory", default="runs/rerank", metavar="DIR", help="of the CoCas")
    parser.add_argument("--num_samples", type=int, default=16)
    parser.add_argument("--cutoff", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for name, settings in JUDGES.items():
        began = time.perf_counter()
        train_judge(Path(args.directory) / name, settings)
        print(f"{name}: {time.perf_counter() - began:.0f} s")

    import numpy as np

    from babeldraw.cli.support.runs import open_run
    from babeldraw.evaluation.retrieval import top1
    from babeldraw.pieces import encode
    from benchmarks.quickstart_run import open_quickstart

    quickstart = open_quickstart(args.run)
    heldout, train = quickstart.heldout, quickstart.train
    samples = quickstart.sampler(cutoff=args.cutoff).generate(
        heldout["text_tokens"], num_samples=args.num_samples, seed=args.seed
    )
    prompts, count = samples.scores.shape
    captions = [*heldout["caption"], *train["caption"]]
    cosines, right = {}, {}
    for name in JUDGES:
        opened = open_run(str(Path(args.directory) / name))
        judge = opened.reranker(batch_size=64)
        texts = encode(captions, opened.vocabulary, judge.model.text_length)
        of_texts = judge.embed_texts(texts)
        of_images = judge.embed_images(samples.images.reshape(-1, *samples.images.shape[2:]))
        to_all = (of_images @ of_texts.T).reshape(prompts, count, -1)
        own = np.arange(prompts)[:, None]
        cosines[name] = np.take_along_axis(to_all, own[..., None], axis=2)[..., 0]
        right[name] = to_all.argmax(axis=2) == own
        real = judge.embed_images(heldout["image"]) @ of_texts.T
        print(
            f"{name} on the {prompts} real held-out pictures: top-1 of {len(captions)} texts "
            f"{np.mean(real.argmax(axis=1) == own[:, 0]):.3f}"
        )
    flat = samples.images.reshape(-1, *samples.images.shape[2:])
    wanted = np.repeat(len(train["image"]) + np.arange(prompts), count)
    pixels = top1(flat, wanted, quickstart.gallery)[1].reshape(prompts, count)

    choices = {
        f"mean of {count}": None,
        "most probable to the model": samples.scores.argmax(axis=1),
        "best by the chooser": cosines["chooser"].argmax(axis=1),
        "best by the reporter itself": cosines["reporter"].argmax(axis=1),
    }
    print(
        f"{prompts} held-out prompts, {count} samples each, cutoff {args.cutoff}; +-: standard "
        f"error over prompts; load average {os.getloadavg()[0]:.1f}"
    )
    print(f"{'':30} {'top-1, reporter':>18} {'cosine, reporter':>18} {'right by pixels':>18}")
    table = {"top": right["reporter"], "cosine": cosines["reporter"], "pixels": pixels}
    for name, chosen in choices.items():
        cells = []
        for values in table.values():
            a_prompt = values.mean(axis=1) if chosen is None else values[np.arange(prompts), chosen]
            error = np.std(a_prompt, ddof=1) / np.sqrt(prompts)
            cells.append(f"{np.mean(a_prompt):.3f} +- {error:.3f}")
        print(f"{name:30} {cells[0]:>18} {cells[1]:>18} {cells[2]:>18}")
    for name, values in table.items():
        best = values[np.arange(prompts), choices["best by the chooser"]]
        gain = best - values.mean(axis=1)
        error = np.std(gain, ddof=1) / np.sqrt(prompts)
        print(
            f"gain of the chooser's best over the mean, {name}: {np.mean(gain):+.3f} +- {error:.3f}"
        )


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
