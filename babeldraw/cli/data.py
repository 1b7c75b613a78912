"""``babeldraw data build emoji``: make the picture set again, at any size from 8 to 256 px."""

import argparse
import pathlib
import time

SUMMARY = "build the emoji set from its sources"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="data_command", required=True, metavar="COMMAND")
    build = commands.add_parser("build", help="render a data set from its npm packages")
    build.add_argument("dataset", choices=["emoji"], help="which set to build")
    build.add_argument("--size", type=int, default=32, help="side in pixels, 8 to 256")
    build.add_argument("--output", help="folder to write (default: where the task looks for it)")
    build.add_argument("--npm_dir", help="a node_modules folder to use instead of running npm")


def run(args: argparse.Namespace) -> int:
    from babeldraw.data import emoji_build, emoji_sheets

    start = time.time()
    cache = emoji_sheets.cache_dir()
    output = pathlib.Path(args.output) if args.output else cache / "emoji" / str(args.size)
    if args.npm_dir:
        modules = pathlib.Path(args.npm_dir)
    else:
        modules = emoji_build.install_packages(cache / "npm")
    cells = emoji_build.build(output, args.size, modules, log=print)
    print(f"wrote {len(cells)} pictures to {output} in {time.time() - start:.0f} s")
    return 0
