"""`babeldraw tokenize-dataset`: a task's pictures to tokens that a run can train on."""

import argparse
import dataclasses
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from babeldraw.cli.support import machines, outputs, views
from babeldraw.cli.support.flags import Numeric
from babeldraw.errors import UserError
from babeldraw.files import path
from babeldraw.ranges import Count, Whole
from babeldraw.sizes import from_sides, height_and_width

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from babeldraw.data.picture_files.view import View
    from babeldraw.data.sources.token_set import Manifest
    from babeldraw.sampling.codec import Codec

SUMMARY = "Turn the pictures of a task into tokens to train on."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `babeldraw tokenize-dataset` to `parser`."""
    add = parser.add_argument
    add("--checkpoint", required=True, metavar="DIR", help="run directory of a tokenizer run")
    add("--task", required=True, metavar="NAME", help="task or mixture; all its splits are done")
    add("--output", required=True, metavar="DIR", help="folder to write, or to go on with")
    add(
        "--workers",
        type=Numeric(Count),
        default=1,
        metavar="N",
        help="processes that share the work",
    )
    add(
        "--worker",
        type=Numeric(Whole),
        metavar="I",
        help="do the part of worker I of N (from 0) alone: for several hosts or devices that share "
        "the folder (default: start all N here)",
    )
    add(
        "--crops",
        type=Numeric(Count),
        default=1,
        metavar="N",
        help="squares of each training picture: 1 is the centre, more are cut at random as in "
        "training on pictures",
    )
    add(
        "--shard_size",
        type=Numeric(Count),
        default=4096,
        metavar="N",
        help="pictures a file, at most",
    )
    views.add_arguments(parser, "as the tokenizer was trained")
    add("--batch_size", type=Numeric(Count), metavar="N", help=machines.BATCH_SIZE_HELP)
    machines.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Writes the shards of OUTPUT that are not there yet."""
    if args.worker is not None and args.worker >= args.workers:
        raise UserError(f"--worker is {args.worker}; give 0 to {args.workers - 1}.")
    outputs.check_apart(args.output, "--output", args.task)
    outputs.check_folder(args.output, "--output")
    outputs.check_run(args.checkpoint)
    config = None if args.config is None else machines.join(args)
    from babeldraw.parallel import failing, processes

    index, count = processes.index_and_count()
    with failing.together():
        if count > 1:  # Each process of the machine is a worker.
            args.worker, args.workers = index, count
        _tokenize(args, None if config is None else _own_devices())
    return 0


def _own_devices() -> "Mesh":
    """Those of this process: workers send each other nothing."""
    import jax

    from babeldraw.parallel.mesh import make_mesh

    return make_mesh({"data": -1}, jax.local_devices())


def _tokenize(args: argparse.Namespace, mesh: "Mesh | None") -> None:
    from babeldraw.parallel import processes

    codec, seen = _open_codec(args, mesh)
    folder: Any = path(args.output)
    manifest = _agree_on_manifest(args, codec, seen, folder)
    if args.workers > 1 and args.worker is None:
        _start_workers(args)
    else:
        _work(args, codec, seen, manifest, folder)
    # Who left before would end the others, too.
    processes.meet(seconds=7 * 24 * 3600)
    missing = [part for part in manifest.all_shards() if not manifest.shard(folder, *part).exists()]
    if missing:
        print(f"{args.output} lacks {len(missing)} shards, which are other workers'")
    else:
        print(f"{args.output} is whole: train on it with the task tokens:{args.output}")


def _open_codec(args: argparse.Namespace, mesh: "Mesh | None") -> tuple["Codec", "View"]:
    """The tokenizer, and how the pictures come: none mirrored, for a crop has one row of tokens."""
    from babeldraw.cli.support.runs import open_run
    from babeldraw.data.picture_files.view import PLAIN
    from babeldraw.data.token_file import MAX_CODEBOOK

    opened = open_run(args.checkpoint, mesh, "codec")
    codec = opened.codec(machines.pictures_at_once(args, mesh))
    model = codec.model
    if model.codebook_size > MAX_CODEBOOK:
        raise UserError(
            f"This tokenizer has {model.codebook_size} codes, and token records hold "
            f"{MAX_CODEBOOK} at most; use a tokenizer with a smaller codebook."
        )
    seen = dataclasses.replace(opened.view, zoom=PLAIN.zoom, flip=PLAIN.flip)
    return codec, views.view_of(args, seen)


def _agree_on_manifest(
    args: argparse.Namespace, codec: "Codec", seen: "View", folder: pathlib.Path
) -> "Manifest":
    """The manifest of `folder`: written by the first worker, compared by the others."""
    from babeldraw.data import classes, raw, tasks
    from babeldraw.data.sources import names, token_set

    pictures = {}
    provider = tasks.find_pictures(args.task, "train", seen)
    for split in provider.splits:
        parts = raw.subtasks(provider, split)
        pictures[split] = sum(task.source.num_input_examples(split) for task in parts)
    pictures = {split: count for split, count in pictures.items() if count}
    manifest = token_set.Manifest(
        tokenizer=codec.identity,
        task=args.task,
        image_size=from_sides(*height_and_width(codec.model.image_size)),
        grid=from_sides(*codec.model.grid),
        crops=args.crops,
        pictures=pictures,
        shards={split: -(-count // args.shard_size) for split, count in pictures.items()},
        classes=classes.all_of(provider),
        **seen.of_pictures,
    )
    if not (folder / token_set.MANIFEST).exists():
        manifest.write(folder)
        names.copy_vocabulary(provider, folder)
    found = token_set.Manifest.read(folder)
    for name, ours in vars(manifest).items():
        if getattr(found, name) != ours:
            raise UserError(
                f"{folder} was begun with {name} {_short(getattr(found, name))}, and this is "
                f"{_short(ours)}: give another --output, or what it was begun with."
            )
    return found


def _short(value: Any) -> str:
    return value[:80] if isinstance(value, str) else str(value)


def _start_workers(args: argparse.Namespace) -> None:
    """Runs this command once a worker."""
    settings = vars(args).items()
    arguments = [f"--{key}={value}" for key, value in settings if value is not None]
    command = [sys.executable, "-m", "babeldraw.cli.main", "tokenize-dataset", *arguments]
    workers = [subprocess.Popen([*command, f"--worker={i}"]) for i in range(args.workers)]
    try:
        failed = [i for i, worker in enumerate(workers) if worker.wait()]
    finally:
        for worker in workers:
            worker.terminate()
    if failed:
        raise UserError(
            f"Workers {failed} failed, as said above: give the command again, which goes on."
        )


def _work(
    args: argparse.Namespace,
    codec: "Codec",
    seen: "View",
    manifest: "Manifest",
    folder: pathlib.Path,
) -> None:
    from babeldraw.data import tasks
    from babeldraw.data.sources import records

    provider = tasks.find_pictures(args.task, "train", seen)
    for number, (split, index) in enumerate(manifest.all_shards()):
        shard = manifest.shard(folder, split, index)
        if number % args.workers != (args.worker or 0) or shard.exists():
            continue
        began = time.perf_counter()
        examples = _records(provider, seen, split, index, codec, manifest)
        count = records.write(shard, examples, "choose another --output")
        speed = count / (time.perf_counter() - began)
        print(f"{shard.name}: {count} pictures, {speed:.1f} a second", flush=True)


def _records(
    provider: Any, seen: "View", split: str, index: int, codec: "Codec", manifest: "Manifest"
) -> Iterator[bytes]:
    """The records of one shard."""
    import numpy as np

    from babeldraw.data import raw
    from babeldraw.data.picture_files.view import Needed
    from babeldraw.data.sources import token_set
    from babeldraw.sampling.batches import batched

    needed = Needed.by(manifest.image_size, seen)  # as training has it
    shards = manifest.shards[split]
    examples = (
        example
        for task in raw.subtasks(provider, split)
        for example in raw.raw_examples(task.source, split, index, shards, needed)
    )
    crops = manifest.crops if split == "train" else 1
    for batch in batched(examples, max(1, codec.batch_size // crops)):
        squares = [
            raw.framed(example, manifest.image_size, crop if crops > 1 else None, seen)
            for example in batch
            for crop in range(crops)
        ]
        tokens = codec.encode(np.stack(squares)).astype(np.uint16)
        for example, rows in zip(batch, np.split(tokens, len(batch)), strict=True):
            kept = {feature: example.classes[feature] for feature in manifest.classes}
            yield token_set.encode_example(rows, example.captions, example.name, kept)
