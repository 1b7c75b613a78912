"""`babeldraw probe`: what each block of a trained network knows of the classes of pictures."""

import argparse
import dataclasses
import itertools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from babeldraw.cli.support import machines, outputs
from babeldraw.cli.support.flags import Numeric
from babeldraw.errors import UserError
from babeldraw.ranges import Count, Seed

if TYPE_CHECKING:
    import numpy as np
    from etils import epath
    from jax.sharding import Mesh

    from babeldraw.cli.support.runs import Run
    from babeldraw.data.streams.pipeline import Dataset

SUMMARY = "Measure what each block of a trained network knows of pictures' classes."

Splits = dict[str, "np.ndarray"]
"""`train/NAME` and `heldout/NAME`: features by network, and `labels`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `babeldraw probe` to `parser`."""
    parser.add_argument(
        "--checkpoint",
        required=True,
        metavar="DIR",
        help="run directory of an image_tokens, text-to-image, tokenizer or CoCa run",
    )
    parser.add_argument(
        "--task", metavar="NAME", help="a task with classes (default: that of the run)"
    )
    parser.add_argument(
        "--class_feature",
        metavar="F",
        help="what tells the classes: class of class_folder:, label of tfds:, cls of webdataset:, "
        "role or another of the emoji (default: that of the run)",
    )
    parser.add_argument(
        "--train_split", default="train", metavar="NAME", help="what the layers are trained on"
    )
    parser.add_argument(
        "--split",
        metavar="NAME",
        help="what their accuracy is measured on (default: that of the run's evaluation)",
    )
    parser.add_argument(
        "--limit",
        type=Numeric(Count),
        metavar="N",
        help="take the first N pictures of each split (default: all)",
    )
    parser.add_argument(
        "--seed",
        type=Numeric(Seed),
        default=0,
        metavar="N",
        help="draws the part of the training pictures that learning rates are searched on",
    )
    parser.add_argument(
        "--batch_size", type=Numeric(Count), metavar="N", help=machines.BATCH_SIZE_HELP
    )
    parser.add_argument(
        "--output", metavar="DIR", help="default: CHECKPOINT/probe_F, of the class feature"
    )
    parser.add_argument(
        "--save_features",
        action="store_true",
        help="keep the features in OUTPUT/features.npz, which the same command reads again",
    )
    machines.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Prints the table; writes OUTPUT/probe.json, probe.npz and probe.png."""
    outputs.check_run(args.checkpoint)
    if args.output:
        outputs.check_folder(args.output, "--output")
    with machines.drawing(args) as mesh:
        _probe(args, mesh)
    return 0


def _probe(args: argparse.Namespace, mesh: "Mesh | None") -> None:
    from babeldraw.cli.support.runs import open_run
    from babeldraw.evaluation import probe, probe_files
    from babeldraw.files import path
    from babeldraw.parallel.processes import is_first

    opened = open_run(args.checkpoint, mesh, "features")
    datasets = _datasets(args, opened)
    classes = datasets["train"].class_names()
    dataset = datasets["heldout"]
    facts = {
        "checkpoint": opened.model_dir,
        "step": opened.step,
        "task": dataset.mixture_or_task_name,
        "class_feature": dataset.class_feature,
        "splits": {name: each.split for name, each in datasets.items()},
        "limit": args.limit,
    }
    default = f"{opened.model_dir}/probe_{dataset.class_feature}"
    output = path(args.output or default)
    found = _kept_features(output, facts)
    if found is None:
        found = {}
        for name, each in datasets.items():
            found |= _read(args, opened, each, name, mesh)
        if args.save_features and is_first():
            _keep_features(output, facts, found)
    labels = {name: found[f"{name}/labels"] for name in datasets}
    table: dict[str, probe_files.Measured] = {}
    for key, features in found.items():
        split, _, network = key.partition("/")
        if split == "train" and network != "labels":
            fitted = probe.fit_probe(features, labels["train"], len(classes), args.seed)
            accuracy = fitted.accuracy(found[f"heldout/{network}"], labels["heldout"])
            table[network] = probe_files.Measured(fitted, accuracy)

    if not is_first():
        return
    by_chance = probe.chance(labels["train"], labels["heldout"])
    counts = {name: len(each) for name, each in labels.items()}
    more = {"pictures": counts, "seed": args.seed, "chance": by_chance, "classes": list(classes)}
    probe_files.save(output, table, facts | more)
    title = (
        f"{dataset.class_feature}: {len(classes)} classes, {counts['heldout']} held-out pictures"
    )
    probe_files.draw_plot(output / probe_files.PLOT, table, by_chance, title)
    print(
        f"{opened.model_dir} at step {opened.step}: {dataset.class_feature} ({len(classes)} "
        f"classes) of {counts['heldout']} pictures of {dataset.mixture_or_task_name}, split "
        f"{dataset.split}, by a softmax layer trained on {counts['train']}"
    )
    print(probe_files.rows(table, by_chance))
    print(probe_files.middle_and_last(table))
    network = probe_files.best_network(table)
    print(
        f"{probe_files.JSON}, {probe_files.WEIGHTS} ({network}, which was best where the learning "
        f"rates were searched) and {probe_files.PLOT} are in {output}"
    )


def _datasets(args: argparse.Namespace, opened: "Run") -> "dict[str, Dataset]":
    """What is trained on and what is held out."""
    given = opened.eval_dataset or opened.train_dataset
    feature = args.class_feature or given.class_feature
    if not feature:
        raise UserError(
            f"{opened.model_dir} was trained without classes: say what tells them with "
            "--class_feature, as --class_feature role of the emoji."
        )
    splits = {"train": args.train_split, "heldout": args.split or given.split}
    if splits["train"] == splits["heldout"]:
        raise UserError(
            f"The probe would be trained and measured on the same split, {splits['train']!r}: give "
            "another with --split."
        )
    lengths = {"image": given.task_feature_lengths["image"]}
    return {
        name: dataclasses.replace(
            given,
            mixture_or_task_name=args.task or given.mixture_or_task_name,
            class_feature=feature,
            task_feature_lengths=lengths,
            split=split,
            shuffle=False,
            batch_size=1,  # Larger ones leave out what does not fill the last.
        )
        for name, split in splits.items()
    }


def _read(
    args: argparse.Namespace, opened: "Run", dataset: "Dataset", name: str, mesh: "Mesh | None"
) -> Splits:
    """Features and labels of one split, in whose place `name` stands."""
    import numpy as np

    from babeldraw.cli.support.terminal import Progress
    from babeldraw.evaluation.probe import pixels
    from babeldraw.evaluation.probe_files import PIXELS
    from babeldraw.sampling.batches import batched

    size = machines.pictures_at_once(args, mesh)
    readers: dict[str, Callable[[np.ndarray], np.ndarray]]
    readers = {**opened.features(size), PIXELS: pixels}
    progress = Progress(args.limit)
    parts: dict[str, list[np.ndarray]] = {key: [] for key in (*readers, "labels")}
    for rows in batched(itertools.islice(dataset.batches(num_epochs=1), args.limit), size):
        if "image" not in rows[0]:
            raise UserError(
                f"{dataset.mixture_or_task_name} brings tokens made beforehand; give the task of "
                "their pictures with --task."
            )
        images = np.concatenate([row["image"] for row in rows])
        for key, reader in readers.items():
            parts[key].append(reader(images))
        parts["labels"].append(np.concatenate([row["class_id"] for row in rows]))
        progress(sum(map(len, parts["labels"])))
    if not parts["labels"]:
        raise UserError(
            f"{dataset.mixture_or_task_name} has no picture of a known class in the split "
            f"{dataset.split}: give another split."
        )
    found = {f"{name}/{key}": np.concatenate(part) for key, part in parts.items()}
    progress.close(len(found[f"{name}/labels"]))
    return found


def _kept_features(output: "epath.Path", facts: dict[str, Any]) -> Splits | None:
    """Those that the same command has kept, if it has."""
    import numpy as np

    from babeldraw.evaluation.probe_files import FEATURES

    if not (output / FEATURES).exists():
        return None
    with (output / FEATURES).open("rb") as file, np.load(file) as arrays:
        if str(arrays["of"]) != json.dumps(facts):
            return None
        return {name: arrays[name] for name in arrays.files if name != "of"}


def _keep_features(output: "epath.Path", facts: dict[str, Any], found: Splits) -> None:
    import numpy as np

    from babeldraw.evaluation.probe_files import FEATURES
    from babeldraw.files import written_whole

    with written_whole(output / FEATURES) as file:
        arrays: dict[str, Any] = {"of": np.array(json.dumps(facts)), **found}
        np.savez(file, **arrays)
