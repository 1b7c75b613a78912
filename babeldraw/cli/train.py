"""`babeldraw train`: a recipe (gin files) on a machine (configs/*.py)."""

import argparse

from babeldraw.cli.support import gin_config
from babeldraw.cli.support.machines import join_processes, load_machine_file, set_environment
from babeldraw.cli.support.recipes import train_recipe

SUMMARY = "Train what a gin recipe says, on the machine that a machine file describes."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `babeldraw train` to `parser`."""
    gin_config.add_arguments(parser)
    parser.add_argument(
        "--config",
        default="configs/cpu.py",
        metavar="FILE",
        help="machine file (default: %(default)s)",
    )
    cluster = parser.add_argument_group(
        "several processes", "on TPUs, Kubernetes and Slurm they find each other without these"
    )
    cluster.add_argument("--coordinator_address", metavar="HOST:PORT", help="of process 0")
    cluster.add_argument("--num_processes", type=int, metavar="N", help="how many there are")
    cluster.add_argument("--process_id", type=int, metavar="I", help="of this one, from 0")
    parser.add_argument(
        "--model_dir", metavar="DIR", help="the run directory; short for --gin.MODEL_DIR='\"DIR\"'"
    )


def run(args: argparse.Namespace) -> int:
    """Trains until the recipe's last step; returns 0."""
    # 1. The machine, first: XLA and JAX read their environment when they are imported.
    config = load_machine_file(args.config)
    set_environment(config)
    # 2. The other processes, before anything touches a device.
    join_processes(
        config,
        coordinator_address=args.coordinator_address,
        num_processes=args.num_processes,
        process_id=args.process_id,
    )
    # 3. The recipe on the machine.
    bindings = list(args.gin_bindings)
    if args.model_dir is not None:
        bindings.append(f"MODEL_DIR = {args.model_dir!r}")
    from babeldraw.parallel import failing

    with failing.together():
        train_recipe(args.gin_file, bindings, config, args.gin_search_paths)
    return 0
