"""``babeldraw data``: build a set, look into a task, drop copies, pack pictures into few files."""

import argparse
import pathlib
import time
from typing import Any

from babeldraw.cli.support import outputs, views
from babeldraw.cli.support.flags import Numeric
from babeldraw.errors import UserError
from babeldraw.ranges import Count

SUMMARY = "Build a set, inspect a task, drop copies of evaluation pictures, pack pictures."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="data_command", required=True, metavar="COMMAND")
    build = commands.add_parser("build", help="render a data set from the packages that hold it")
    build.add_argument(
        "dataset",
        choices=["emoji", "tuxpaint", "openclipart", "icons"],
        help="which set: emoji (npm), stamps and clip art (Debian), coloured icons (npm)",
    )
    build.add_argument(
        "--size", type=Numeric(Count), help="side in pixels (default: 32 of emoji, else 128)"
    )
    build.add_argument(
        "--output",
        help="folder to write (default: in the cache, where the task looks for it; emoji at 32 px "
        "are inside the package already)",
    )
    build.add_argument("--npm_dir", help="a node_modules folder to use instead of running npm")
    build.add_argument(
        "--package_dir", help="the folder of the unpacked Debian package, not to fetch it"
    )
    build.add_argument(
        "--limit", type=Numeric(Count), help="stop after so many drawings; not of emoji"
    )
    prompts = commands.add_parser(
        "prompts", help="write all prompts of the emoji, with what their pictures have to show"
    )
    prompts.add_argument(
        "world",
        choices=["quickstart", "people", "all"],
        help="which emoji: the quickstart's 12 occupations, all people with genders and skin "
        "tones, or all",
    )
    prompts.add_argument(
        "--output",
        metavar="FILE",
        help="a suite for `babeldraw evaluate --suite` (default: runs/emoji_WORLD.jsonl)",
    )
    inspect = commands.add_parser(
        "inspect", help="counts, sizes, faults, near-duplicates and a contact sheet of a task"
    )
    inspect.add_argument("task", help="a task or mixture, e.g. folder:/my/pictures or emoji_32")
    inspect.add_argument("--split", help="split of the task (default: all of them)")
    inspect.add_argument(
        "--limit",
        type=Numeric(Count),
        help="read at most so many pictures, at even distances (default: all)",
    )
    views.add_arguments(inspect, "as runs have it: crop, and white")
    inspect.add_argument(
        "--size",
        type=views.size,
        metavar="N|HxW",
        help="show them as networks of this size do (default: larger)",
    )
    inspect.add_argument(
        "--output",
        default="runs/contact_sheet.png",
        metavar="FILE",
        help="PNG to write, with pictures and captions",
    )

    dedup = commands.add_parser(
        "dedup", help="drop training pictures that also stand in an evaluation set"
    )
    dedup.add_argument("task", help="your own pictures, e.g. folder:/my/pictures")
    dedup.add_argument(
        "--against",
        action="append",
        required=True,
        metavar="TASK",
        help="evaluation pictures: all splits of another task, the other splits of the same one; "
        "may be given several times",
    )
    pack = commands.add_parser("pack", help="copy your own pictures into a few large files")
    pack.add_argument("task", help="your own pictures, e.g. folder:/my/pictures")
    pack.add_argument("--output", required=True, metavar="DIR", help="folder to write")
    pack.add_argument(
        "--format",
        choices=["array_record", "tfrecord"],
        default="array_record",
        help="default: %(default)s",
    )
    pack.add_argument(
        "--shard_size", type=Numeric(Count), default=4096, metavar="N", help="pictures a file"
    )


def run(args: argparse.Namespace) -> int:
    commands = {
        "inspect": _inspect,
        "build": _build,
        "prompts": _prompts,
        "dedup": _dedup,
        "pack": _pack,
    }
    return commands[args.data_command](args)


def _prompts(args: argparse.Namespace) -> int:
    output = args.output or f"runs/emoji_{args.world}.jsonl"
    if not output.endswith(".jsonl"):
        raise UserError(f"--output is {output}; name a file that ends in .jsonl.")
    outputs.check_file(output, "--output")
    from babeldraw.evaluation.checks import prompts
    from babeldraw.evaluation.checks.world import world

    known = world(args.world)
    count = prompts.write(output, known)
    print(f"wrote {count} prompts to {output}: draw and score them with `babeldraw evaluate`")
    alike = len(known.genders_alike)
    print(f"of {alike} the gender is not checked: their picture is another gender's, too")
    return 0


def _dedup(args: argparse.Namespace) -> int:
    from babeldraw.data import dropped
    from babeldraw.data.sources import pictures

    found, path = dropped.drop_copies(args.task, args.against)
    for name in found[:10]:
        print(f"  {pictures.printable(name)}")
    print(f"{len(found)} training pictures are left out from now on; their names are in {path}")
    return 0


def _pack(args: argparse.Namespace) -> int:
    outputs.check_apart(args.output, "--output", args.task)
    outputs.check_folder(args.output, "--output")
    from babeldraw.data import tasks
    from babeldraw.data.sources import names, pictures, record_shards
    from babeldraw.data.sources.picture_source import PictureSource
    from babeldraw.files import path

    task = tasks.find_pictures(args.task, "train")
    source = getattr(task, "source", None)
    if not isinstance(source, PictureSource):
        raise UserError(
            f"{args.task} is no task of your own pictures, such as folder:/my/pictures."
        )
    folder: Any = path(args.output)
    found = sorted(
        (picture for split in source.splits for picture in source.pictures(split)),
        key=lambda picture: picture.name,
    )
    count = record_shards.write_pictures(found, folder, f".{args.format}", args.shard_size)
    names.copy_vocabulary(task, folder)
    faults = list(pictures.named(source.skipped))
    print("left out:", *(faults or ["nothing"]), sep="\n  ")
    print(f"wrote {count} pictures: train on them with the task {args.format}:{args.output}")
    return 0


def _build(args: argparse.Namespace) -> int:
    from babeldraw.files import cache_dir

    if args.output:
        outputs.check_local(args.output, "--output")
    start = time.time()
    cache = cache_dir()
    if args.dataset == "emoji":
        size = 32 if args.size is None else args.size
        output = pathlib.Path(args.output) if args.output else cache / "emoji" / str(size)
        count = _build_emoji(args, output, size, cache)
        task = _emoji_task(size, moved=bool(args.output))
    else:
        size = 128 if args.size is None else args.size
        default = cache / f"{args.dataset}_{size}"
        output = pathlib.Path(args.output) if args.output else default
        count, task = _build_drawings(args, output, size, cache), f"task array_record:{output}"
    print(f"wrote {count} pictures to {output} in {time.time() - start:.0f} s: {task}")
    return 0


def _emoji_task(size: int, moved: bool) -> str:
    """What reads emoji of this size; `moved` to another folder than that in the cache."""
    from babeldraw.data.sets import emoji, emoji_sheets

    if moved or size not in emoji.SIZES:
        return "no task reads them there"
    shipped = " (which reads those inside the package)" if size == emoji_sheets.SHIPPED_SIZE else ""
    return f"task emoji_{size}{shipped}"


def _build_emoji(
    args: argparse.Namespace, output: pathlib.Path, size: int, cache: pathlib.Path
) -> int:
    from babeldraw.data.sets import emoji_build

    given = pathlib.Path(args.npm_dir) if args.npm_dir else None
    modules = given or emoji_build.install_packages(cache / "npm")
    return len(emoji_build.build(output, size, modules, log=print))


def _build_drawings(
    args: argparse.Namespace, output: pathlib.Path, size: int, cache: pathlib.Path
) -> int:
    from babeldraw.data.sets import clipart, clipart_build

    given = args.npm_dir or args.package_dir
    if given:
        package = pathlib.Path(given)
    else:
        package = clipart_build.fetch(clipart.COLLECTIONS[args.dataset], cache)
    return clipart_build.build(args.dataset, package, output, size, args.limit, log=print)


def _inspect(args: argparse.Namespace) -> int:
    outputs.check_file(args.output, "--output")
    import logging

    from babeldraw.data import inspection
    from babeldraw.data.picture_files.view import PLAIN
    from babeldraw.data.sources import pictures
    from babeldraw.files import mark_output, path, written_whole

    view = views.view_of(args, PLAIN)
    log = logging.getLogger(pictures.__name__)
    log.setLevel(logging.ERROR)  # All is said below.
    try:
        found = inspection.inspect_task(
            args.task, args.split, args.limit, view=view, size=args.size or inspection.TILE
        )
    finally:
        log.setLevel(logging.NOTSET)
    print(args.task)
    print(*inspection.report(found, view), sep="\n")
    mark_output(path(args.output).parent)
    with written_whole(args.output) as file:
        inspection.contact_sheet(found.shown).save(file, "PNG")
    print(f"wrote {len(found.shown)} pictures as they are seen to {args.output}")
    return 0
