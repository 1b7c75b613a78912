"""`babeldraw t5x`: T5X's own programs, found, checked, and started on a machine."""

import argparse
import importlib
import os
import runpy
import sys

from babeldraw.cli.support import gin_config, machines, outputs, paths

SUMMARY = "Run T5X's train.py, eval.py or infer.py with our models (gin/t5x)."

PROGRAMS = ("train", "eval", "infer")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `babeldraw t5x` to `parser`."""
    parser.add_argument("program", choices=PROGRAMS, help="which of T5X's")
    gin_config.add_arguments(parser)
    machines.add_arguments(parser, "configs/cpu.py")
    parser.add_argument(
        "--model_dir", metavar="DIR", help="of train; short for --gin.MODEL_DIR=DIR"
    )


def run(args: argparse.Namespace) -> int:
    """Runs the program to its end; returns its exit code.

    Of the machine file the compiler's flags and the hosts are followed; the mesh is T5X's.
    """
    from babeldraw.cli.support.gin_values import with_quotes
    from babeldraw.t5x_models import found

    if args.model_dir is not None:
        outputs.check_folder(args.model_dir, "--model_dir")
    found.put_on_path()
    gin_config.find_files(args.gin_file, args.gin_search_paths)
    machines.join(args)
    from babeldraw.parallel import failing

    importlib.import_module("babeldraw.data")  # Starts TensorFlow quietly, and without a GPU.
    found.require()
    bindings = [with_quotes(binding) for binding in args.gin_bindings]
    if args.model_dir is not None:
        bindings.append(f"MODEL_DIR = {args.model_dir!r}")
    folders = [*filter(None, args.gin_search_paths.split(",")), *map(str, paths.search_folders())]
    program = str(found.program(args.program))
    sys.argv = [
        program,
        "--verbosity=0",
        f"--gin_search_paths={','.join(map(os.path.abspath, folders))}",
        *(f"--gin_file={file}" for file in args.gin_file),
        *(f"--gin.{binding}" for binding in bindings),
    ]
    with failing.together():
        try:
            runpy.run_path(program, run_name="__main__")
        except SystemExit as ended:
            if isinstance(ended.code, str):
                print(ended.code, file=sys.stderr)
                return 1
            return ended.code or 0
    return 0
