"""`babeldraw train`: a recipe (gin files) on a machine (configs/*.py)."""

import argparse

from babeldraw.cli.support import gin_config, machines, outputs
from babeldraw.cli.support.recipes import train_recipe

SUMMARY = "Train what a gin recipe says, on the machine that a machine file describes."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `babeldraw train` to `parser`."""
    gin_config.add_arguments(parser)
    machines.add_arguments(parser, "configs/cpu.py")
    parser.add_argument(
        "--model_dir", metavar="DIR", help="the run directory; short for --gin.MODEL_DIR=DIR"
    )


def run(args: argparse.Namespace) -> int:
    """Trains until the recipe's last step; returns 0."""
    if args.model_dir is not None:
        outputs.check_folder(args.model_dir, "--model_dir")
    gin_config.find_files(args.gin_file, args.gin_search_paths)
    # 1. The machine and the other processes, before anything touches a device.
    config = machines.join(args)
    # 2. The recipe on the machine.
    bindings = list(args.gin_bindings)
    if args.model_dir is not None:
        bindings.append(f"MODEL_DIR = {args.model_dir!r}")
    from babeldraw.parallel import failing

    with failing.together():
        train_recipe(args.gin_file, bindings, config, args.gin_search_paths)
    return 0
