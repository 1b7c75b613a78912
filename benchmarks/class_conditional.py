"""Are samples of a class of it, how varied are they, and how far is what is drawn without a class
from real pictures: `python -m benchmarks.class_conditional DIR`.

Trains, over 3 seeds, models of the quickstart's 12 roles and of nothing at all (a run that is in
DIR is not made again), with a moving average of the weights beside. Samples are judged by a softmax
layer on raw pixels that is trained on real pictures; what rejection keeps is chosen by another, on
the tokenizer's encoder. Writes DIR/class_conditional.json and the plot. `--people` is of all 78
roles, of which 12 are too easy to tell: its runs are in a DIR of their own.
"""

import argparse
import dataclasses
import functools
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.class_runs import train_all, train_people
from benchmarks.class_tables import DRAWN, KEEP, PARTS, WEIGHTS, draw_plot, table

HELDOUT = "heldout_people"

Pictures = np.ndarray
Splits = dict[str, dict[str, np.ndarray]]


def load_splits(run: Any) -> Splits:
    """Real pictures and their classes."""
    return {
        split: dataclasses.replace(run.train_dataset, split=split, class_feature="role").examples()
        for split in ("train", HELDOUT)
    }


def judge_of(read: Callable[[Pictures], np.ndarray], splits: Splits, classes: Sequence[str]) -> Any:
    """A softmax layer on the block that was best where its learning rate was searched."""
    from babeldraw.evaluation.probe import Classifier, fit_probe

    train = splits["train"]
    probe = fit_probe(read(train["image"]), train["class_id"], len(classes))
    weights, biases = probe.weights[probe.best], probe.biases[probe.best]
    return Classifier(read, probe.best, weights, biases, tuple(classes))


def right(judge: Any, images: Pictures, labels: np.ndarray) -> float:
    """The share that the judge takes for its class."""
    return float(np.mean(judge(images).argmax(axis=1) == labels))


def apart(images: Pictures, real: Pictures) -> float:
    """Mean distance to the nearest real picture, as `guidance_sweep.diversity` measures it."""
    from babeldraw.evaluation.retrieval import nearest, thumbnails

    difference = thumbnails(images) - thumbnails(real[nearest(images, real)])
    return float(np.mean(np.sqrt(np.mean(difference**2, axis=1))))


def samplers(run: Any) -> dict[str, Callable[..., Any]]:
    """What draws with the moving average of the weights, and with the weights themselves."""
    own = {name: part for name, part in run.networks.items() if not name.endswith("_ema")}
    return {
        "ema": functools.partial(run.objective.sampler, run.networks),
        "no ema": functools.partial(run.objective.sampler, own),
    }


def of_classes(
    run: Any, judge: Any, splits: Splits, classes: Sequence[str], seed: int, people: bool
) -> tuple[dict[str, Any], dict[str, Pictures]]:
    """For each weight accuracy and diversity of all samples and of those that are kept; a row.

    Args:
      people: draw fewer of each class, and with the cutoff alone.
    """
    from babeldraw.sampling.rejection import keep_best
    from benchmarks.guidance_sweep import diversity

    rejecting, heldout = judge_of(run.features(48)["tokenizer"], splits, classes), splits[HELDOUT]
    own = right(rejecting, heldout["image"], heldout["class_id"])
    found: dict[str, Any] = {"rejecting right of real pictures": own}
    shown, prompts = {}, np.arange(len(classes), dtype=np.int32)
    num_samples = 8 if people else 16
    for name, (which, cutoff) in list(DRAWN.items())[: 1 if people else None]:
        for weight in WEIGHTS:
            draw = samplers(run)[which](guidance_weight=weight, cutoff=cutoff, batch_size=48)
            images = draw(prompts, num_samples=num_samples, seed=seed)
            flat = images.reshape(-1, *images.shape[2:])
            labels = np.repeat(prompts, num_samples)
            scores = rejecting(flat)[np.arange(len(flat)), labels].reshape(len(prompts), -1)
            best = keep_best(scores, round(KEEP * num_samples))
            kept = np.take_along_axis(images, best[..., None, None, None], axis=1)
            measured: dict[str, float] = {}
            for prefix, part in zip(PARTS, (images, kept), strict=True):
                flat = part.reshape(-1, *part.shape[2:])
                labels = np.repeat(prompts, part.shape[1])
                measured[f"{prefix}right"] = right(judge, flat, labels)
                measured[f"{prefix}diversity"] = diversity(part)
                measured[f"{prefix}apart"] = apart(flat, splits["train"]["image"])
            found[f"{name}, {weight:g}"] = measured
            print(name, weight, measured, flush=True)
            shown[f"{name}, {weight:g}"] = images[:, 0]
    return found, shown


def of_nothing(run: Any, real: Pictures, seed: int) -> tuple[dict[str, float], Pictures]:
    """Frechet distances from one half of the real pictures: of the other half, and of samples."""
    from babeldraw.models.image_decoder import NO_CLASS

    halves = np.array_split(np.random.default_rng(seed).permutation(len(real)), 2)
    one, other = (real[half] for half in halves)
    distance, nothing = distances_from(one), np.array([NO_CLASS], np.int32)
    drawn = {
        name: sampler(batch_size=54, cutoff=0.1)(nothing, num_samples=len(other), seed=seed)[0]
        for name, sampler in samplers(run).items()
    }
    rebuilt = run.codec(54).reconstruct(other)
    sets = {"other half": other, "other half, rebuilt": rebuilt, **drawn}
    found = {name: distance(images) for name, images in sets.items()}
    return {"n": len(other)} | found, drawn["no ema"]


def distances_from(real: Pictures) -> Callable[[Pictures], float]:
    """On features of EfficientNet-Lite0, which no FID has."""
    import jax

    from babeldraw.evaluation.frechet import FeatureStatistics, frechet_distance
    from babeldraw.models.feature_networks import EfficientNetLite0
    from babeldraw.weights.feature_weights import efficientnet_lite0

    params, network = jax.device_put(efficientnet_lite0()), jax.jit(EfficientNetLite0())

    def statistics(images: Pictures) -> FeatureStatistics:
        found = FeatureStatistics(1280)
        for part in np.array_split(images, len(images) // 54):
            found.add(np.asarray(network(params, part.astype(np.float32) / 255)))
        return found

    own = statistics(real)
    return lambda images: frechet_distance(own, statistics(images))


def main() -> None:
    """Trains what is missing, measures, prints the tables and writes the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("docs/class_conditional.png"))
    parser.add_argument("--people", action="store_true", help="all 78 roles; no plot")
    args = parser.parse_args()
    runs = (train_people if args.people else train_all)(args.directory, args.seeds)
    from babeldraw.cli.support.runs import open_run
    from babeldraw.evaluation.probe import pixels
    from benchmarks.guidance_sweep import diversity

    first = open_run(str(runs["classes"][0]))
    splits, classes = load_splits(first), first.train_dataset.class_names()
    train, heldout = splits.values()
    judge = judge_of(pixels, splits, classes)
    rebuilt = first.codec(48).reconstruct(heldout["image"])
    every, labels = (np.concatenate([heldout[key], train[key]]) for key in ("image", "class_id"))
    of_role = [every[labels == number] for number in range(len(classes))]
    real = {
        "right": right(judge, heldout["image"], heldout["class_id"]),
        "right, rebuilt": right(judge, rebuilt, heldout["class_id"]),
        "apart": apart(heldout["image"], train["image"]),
        "diversity": diversity(np.stack([each[: min(map(len, of_role))] for each in of_role])),
    }
    print("real pictures, held out", real, flush=True)
    records = []
    for seed, of_roles in enumerate(runs["classes"]):
        measured = args.directory / f"measured_{seed}.json"
        if not measured.exists():
            found, shown = of_classes(
                open_run(str(of_roles)), judge, splits, classes, seed, args.people
            )
            record: dict[str, Any] = {"seed": seed, "classes": found}
            if "none" in runs:
                nothing = open_run(str(runs["none"][seed]))
                record["nothing"], drawn = of_nothing(nothing, every, seed)
                shown |= {"none": drawn[: len(classes)]}
                shown |= {"real": np.stack([each[0] for each in of_role])}
            np.savez(measured.with_suffix(".npz"), **shown)
            measured.write_text(json.dumps(record, indent=1))
        records.append(json.loads(measured.read_text()))
    settings = {"real": real, "keep": KEEP, "seeds": records}
    (args.directory / "class_conditional.json").write_text(json.dumps(settings, indent=1) + "\n")
    if not args.people:
        with np.load(args.directory / "measured_0.npz") as shown:
            draw_plot(args.output, records, real, shown, classes)
    print(table(records))


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
