"""`babeldraw doctor`: whether this machine can run Babeldraw, and what it has."""

import argparse
import dataclasses
import json
import os
import platform
import re
import shutil
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import babeldraw
from babeldraw.cli.support import outputs, paths
from babeldraw.errors import UserError
from babeldraw.files import is_remote

SUMMARY = "Check this machine: versions, devices, disk, memory, directories, one compiled step."

MIN_DISK_GIB = 5.0
MIN_MEMORY_GIB = 2.0
GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Check:
    """What was found of one thing.

    Attributes:
      value: for the report; anything that JSON has.
      fix: what to do about it; "" where all is well.
    """

    value: Any
    fix: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object in place of lines")
    parser.add_argument(
        "--model_dir", default="runs", metavar="DIR", help="for runs (default: %(default)s)"
    )
    parser.add_argument(
        "--data_dir",
        default=os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets"),
        metavar="DIR",
        help="for sets of TFDS; others are in BABELDRAW_CACHE_DIR (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Prints the report; returns 0 where all is well, else 1."""
    checks: dict[str, Callable[[], Check]] = {
        "versions": versions,
        "pinned set": pinned_set,
        "t5x": t5x,
        "devices": devices,
        "memory": memory,
        "disk": lambda: disk(args.model_dir),
        "model_dir": lambda: writable(args.model_dir, "--model_dir"),
        "data_dir": lambda: writable(args.data_dir, "--data_dir"),
        "compiled step": compiled_step,
    }
    found = {}
    for name, check in checks.items():
        try:
            found[name] = check()
        except Exception as error:  # a broken installation fails in ways nobody has foreseen
            found[name] = Check(f"{type(error).__name__}: {error}", "see the error")
        if not args.json:
            print(_line(name, found[name]), flush=True)
    healthy = not any(check.fix for check in found.values())
    if args.json:
        report = {name.replace(" ", "_"): dataclasses.asdict(c) for name, c in found.items()}
        print(json.dumps({"healthy": healthy, **report}, indent=2))
    return 0 if healthy else 1


def _line(name: str, check: Check) -> str:
    value = check.value
    if isinstance(value, dict):
        value = ", ".join(f"{key} {item}" for key, item in value.items())
    text = f"{'fail' if check.fix else 'ok':4}  {name:13}  {value}"
    return f"{text}\n      {'':13}  -> {check.fix}" if check.fix else text


def versions() -> Check:
    """Of Python and the packages that numbers depend on most."""
    names = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "tensorflow")
    found = {"babeldraw": babeldraw.__version__, "python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            return Check(found, f"{name} is missing: run launch/setup.sh")
    return Check(found)


def pinned_set() -> Check:
    """How installed packages differ from constraints.txt; those not installed do not matter."""
    root = paths.repository_root()
    if root is None or not (root / "constraints.txt").is_file():
        return Check("no constraints.txt here: this is no checkout")
    lines = (root / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if re.fullmatch(r"[\w.-]+==\S+", line))
    other = []
    for name, pinned in pins.items():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        if installed != pinned:
            other.append(f"{name} {installed} (tested: {pinned})")
    if other:
        return Check(other, "run launch/setup.sh, or install with --constraint constraints.txt")
    return Check(f"all of {len(pins)} packages as tested, as far as installed")


def t5x() -> Check:
    """Whether T5X can be used, and of which commit it is; one does without it, too."""
    from babeldraw.t5x_models import found

    try:
        found.put_on_path()
    except UserError as error:
        cause, _, fix = str(error).partition(": ")
        return Check(cause, fix if os.environ.get(found.VARIABLE) else "")
    commit, tested = found.commit(), found.REPOSITORIES["t5x"]
    other = f", tested {tested[:7]}" if commit != tested else ""
    value = f"in {found.folder()}, commit {commit[:7] or 'unknown'}{other}"
    try:
        found.require()
    except UserError as error:
        return Check(value, str(error))
    return Check(value)


def devices() -> Check:
    """What JAX sees."""
    import jax

    found = jax.devices()
    return Check({"platform": found[0].platform, "kind": found[0].device_kind, "count": len(found)})


def memory() -> Check:
    """Of the host, in GiB, that can be had without swapping."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = next(int(line.split()[1]) for line in lines if "MemAvailable" in line) * 1024
    except (OSError, StopIteration):  # not Linux: all there is
        available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    gib = round(available / GIB, 1)
    fix = f"free some: less than {MIN_MEMORY_GIB} GiB" if gib < MIN_MEMORY_GIB else ""
    return Check({"available GiB": gib}, fix)


def disk(directory: str) -> Check:
    """Free space where runs go, in GiB."""
    if is_remote(directory):
        return Check("a bucket")
    path = Path(directory).expanduser().absolute()
    while not path.exists():
        path = path.parent
    gib = round(shutil.disk_usage(path).free / GIB, 1)
    fix = f"free some: less than {MIN_DISK_GIB} GiB" if gib < MIN_DISK_GIB else ""
    return Check({"free GiB": gib}, fix)


def writable(directory: str, flag: str) -> Check:
    """Whether a file can be written there, and read again. Where it can, nothing is left of it."""
    try:
        outputs.check_folder(directory, flag)
    except UserError as error:
        cause, _, fix = str(error).partition("; ")
        return Check(cause, fix)
    return Check(directory)


def compiled_step() -> Check:
    """One gradient step, compiled; its loss has to fall."""
    import jax
    import jax.numpy as jnp

    def loss(weights: jax.Array) -> jax.Array:
        return jnp.mean((jnp.ones((8, 16)) @ weights - 1.0) ** 2)

    @jax.jit
    def step(weights: jax.Array) -> tuple[jax.Array, jax.Array]:
        value, gradient = jax.value_and_grad(loss)(weights)
        return weights - 0.1 * gradient, value

    began = time.perf_counter()
    weights, before = step(jnp.zeros((16, 4)))
    after = float(loss(weights))
    seconds = round(time.perf_counter() - began, 2)
    if not after < float(before):
        raise UserError(f"the loss went from {float(before)} to {after}")
    return Check({"seconds": seconds})
