"""`babeldraw evaluate`: what a trained network is worth, as a table, reports and pictures."""

import argparse
import dataclasses
import itertools
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from babeldraw.cli.support import machines, outputs, suites
from babeldraw.cli.support.flags import Numeric
from babeldraw.errors import UserError
from babeldraw.ranges import Count

if TYPE_CHECKING:
    import numpy as np
    from jax.sharding import Mesh

    from babeldraw.cli.support.exported import Exported
    from babeldraw.cli.support.runs import Run
    from babeldraw.data.picture_files.images import ImageFolder
    from babeldraw.evaluation.tokenizer import Features, Results
    from babeldraw.sizes import Size

SUMMARY = "Measure a tokenizer, what a text encoder has read, or a suite of prompts as drawn."

TOKENIZER, TEXT_ENCODER = "tokenizer", "text_encoder"

FRECHET_FEATURES = "EfficientNet-Lite0"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `babeldraw evaluate` to `parser`."""
    parser.add_argument(
        "--objective",
        choices=[TOKENIZER, TEXT_ENCODER],
        default=TOKENIZER,
        help="what kind of run it is; text_encoder takes a CoCa run, too",
    )
    parser.add_argument(
        "--checkpoint",
        required=True,
        metavar="DIR",
        help="run directory or exported model; with --suite of one that draws",
    )
    parser.add_argument("--images", metavar="DIR", help="a folder of pictures of any kind")
    parser.add_argument(
        "--task", metavar="NAME", help="a seqio task (default: that of the run's evaluation)"
    )
    parser.add_argument("--split", metavar="NAME", help="default: that of the run's evaluation")
    parser.add_argument(
        "--limit",
        type=Numeric(Count),
        metavar="N",
        help="take the first N pictures, or N prompts of a suite by their hashes (default: all)",
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        help="default: CHECKPOINT/evaluation, or CHECKPOINT/suites/SUITE",
    )
    suites.add_arguments(parser)
    machines.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Prints the table; writes OUTPUT/report.json, and reconstructions.png of a tokenizer.

    Of a suite OUTPUT/report.html, report.json, prompts.jsonl and pictures/.
    """
    _check(args)
    with machines.drawing(args) as mesh:
        if args.suite:
            suites.evaluate(args, mesh)
        elif args.objective == TEXT_ENCODER:
            from babeldraw.cli.support.text_scores import evaluate_texts

            evaluate_texts(args, mesh)
        else:
            _evaluate(args, mesh)
    return 0


def _evaluate(args: argparse.Namespace, mesh: "Mesh | None") -> None:
    from babeldraw.cli.support.exported import Exported, output_of
    from babeldraw.cli.support.models import open_model
    from babeldraw.cli.support.terminal import Progress, skipped_summary
    from babeldraw.evaluation.tokenizer import evaluate
    from babeldraw.files import path
    from babeldraw.models.feature_networks import SqueezeNet
    from babeldraw.objectives.perceptual import Perceptual
    from babeldraw.parallel.processes import is_first
    from babeldraw.training.watching.pictures import write_grid
    from babeldraw.weights import feature_weights

    opened = open_model(args.checkpoint, mesh, "codec")
    output = path(output_of(args.output, opened, "evaluation"))
    if isinstance(opened, Exported) and not args.images:
        raise UserError(f"{opened.model_dir} was exported without its data; give --images DIR.")
    codec = opened.codec(machines.pictures_at_once(args, mesh))
    source, images, folder = _pictures(args, opened, codec.model.image_size)
    features, missing = _frechet_features()
    progress = Progress(args.limit or (None if folder is None else len(folder)))
    results = evaluate(
        codec,
        itertools.islice(images, args.limit),
        Perceptual(network=SqueezeNet(), params=feature_weights.squeezenet),
        features,
        progress,
    )
    progress.close(results.images)

    identity = codec.identity  # By all processes.
    if not is_first():
        return
    write_grid(output / "reconstructions.png", results.samples)
    skipped = {} if folder is None else folder.skipped
    report = _report(results) | {
        "checkpoint": opened.model_dir,
        "step": opened.step,
        "source": source,
        "skipped": skipped,
        "tokenizer": identity,
        "batch_size": codec.batch_size,
    }
    (output / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    print(f"{opened.model_dir} at step {opened.step} on {results.images} pictures of {source}")
    print(table(results, codec.model.codebook_size, missing))
    if folder is not None:
        print(skipped_summary(skipped))
    print(f"report.json and reconstructions.png are in {output}")


def table(results: "Results", codebook_size: int, missing: str | None) -> str:
    """Names and values, a line each; `missing` says why there is no Frechet distance."""
    frechet = missing or "not measured: it needs two pictures"
    if results.frechet is not None:
        frechet = f"{results.frechet:.4g} (n = {results.images}; not comparable with FID)"
    similarity = "not measured: the pictures are smaller than its window"
    if results.ssim is not None:
        similarity = f"{results.ssim:.4f}"
    lines = {
        "PSNR": f"{results.psnr:.2f} dB",
        "SSIM": similarity,
        "perceptual distance, SqueezeNet": f"{results.perceptual:.4f}",
        f"Frechet distance, {FRECHET_FEATURES}": frechet,
        "codebook usage": f"{results.codebook_usage:.1%} of {codebook_size} codes",
        "perplexity": f"{results.perplexity:.1f}",
        "encode": f"{results.encode_images_per_second:.1f} images/s",
        "decode": f"{results.decode_images_per_second:.1f} images/s",
    }
    width = max(map(len, lines))
    return "\n".join(f"  {name:{width}}  {value}" for name, value in lines.items())


def _check(args: argparse.Namespace) -> None:
    if args.images and (args.task or args.split):
        raise UserError("--images and --task or --split exclude each other; give one of them.")
    if args.suite:
        suites.check(args)
    if args.images and args.objective == TEXT_ENCODER:
        raise UserError("A folder of --images has no texts; give --task and --split, or neither.")
    if args.output:
        outputs.check_folder(args.output, "--output")
    outputs.check_run(args.checkpoint)


def _pictures(
    args: argparse.Namespace, opened: "Run | Exported", size: "Size"
) -> tuple[str, Iterable["np.ndarray"], "ImageFolder | None"]:
    """Where the pictures come from, in words; the pictures; the folder if they are in one."""
    from babeldraw.data.picture_files.images import ImageFolder

    if args.images:
        folder = ImageFolder(args.images, size, opened.view)
        return args.images, (image for _, image in folder), folder
    given = opened.eval_dataset or opened.train_dataset
    name = args.task or given.mixture_or_task_name
    split = args.split or given.split
    # Batches of one: larger ones leave out what does not fill the last.
    dataset = dataclasses.replace(
        given,
        mixture_or_task_name=name,
        task_feature_lengths={**given.task_feature_lengths, "image": size},
        split=split,
        shuffle=False,
        batch_size=1,
    )
    batches = dataset.batches(num_epochs=1)
    return f"{name}, split {split}", (batch["image"][0] for batch in batches), None


def _frechet_features() -> tuple["Features | None", str | None]:
    """The network; or None, and why."""
    from babeldraw.evaluation.tokenizer import Features
    from babeldraw.models.feature_networks import EfficientNetLite0
    from babeldraw.weights import feature_weights

    try:
        params = feature_weights.efficientnet_lite0()
    except UserError as error:
        return None, f"not measured: {error}"
    return Features(EfficientNetLite0(), params, size=1280), None


def _report(results: "Results") -> dict[str, Any]:
    values = {
        field.name: getattr(results, field.name)
        for field in dataclasses.fields(results)
        if field.name != "samples"
    }
    return {
        **values,
        "perceptual_network": "SqueezeNet 1.1, uniform channel weights",
        "frechet_features": FRECHET_FEATURES,
    }
