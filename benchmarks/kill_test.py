"""A training run killed at random moments ends in the bits of the run that was never killed.

    python -m benchmarks.kill_test [--kills 100] [--output runs/kill_test] [--seed 0]

The run is `babeldraw train`'s own: a text-to-image recipe of a few thousand weights on a folder of
pictures, with dropout, prompt dropout, random crops and captions, int8 Adafactor moments, the
tokenizer inside the step, and a checkpoint after each step. Each life of it is a process of its
own, ended with SIGKILL. The moments are random: from the start of the process on, from when it is
seen to write a checkpoint, or from its first whole checkpoint on. Lives are forked from a server
that has imported the libraries (and nothing else), and share JAX's cache of compiled programs. The
last life runs to the end; then every array of its state, and every logged loss, is compared with
those of a run that was never killed.
"""

import argparse
import collections
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

STEPS_A_LIFE = 2
"""Steps of the run for each kill: a life that gets further is killed at once."""

PICTURES = 24

LIBRARIES = [
    *("gin", "tensorboardX", "babeldraw.training.loop", "babeldraw.data.streams.pipeline"),
    *("babeldraw.objectives.text_to_image", "babeldraw.optimizers.schedules"),
]
"""What the server imports once for all lives."""

Train = Callable[[Path, str, int], None]
"""`train(folder, name, steps)` goes on with the run in folder/name until `steps`."""

RECIPE = """\
from __gin__ import dynamic_registration
from babeldraw.models import encoder_decoder
from babeldraw.models import vit_vqgan
from babeldraw.objectives import text_to_image
from babeldraw.optimizers import config as optimizers
from babeldraw.optimizers import schedules
from babeldraw.training import loop
from benchmarks import kill_test

include 'gin/runs/text_to_image.gin'
include 'gin/models/tiny.gin'
include 'gin/tokenizers/tiny.gin'

MIXTURE_OR_TASK_NAME = 'folder:{pictures}'
TASK_FEATURE_LENGTHS = {{'text': 8, 'image': 16}}
TEXT_LENGTH = 8
TEXT_VOCAB_SIZE = 2048
TOKENIZER_CHECKPOINT = ''
IMAGE_SIZE = 16
GRID = 4
CODEBOOK_SIZE = 32
BATCH_SIZE = 4
LEARNING_RATE = 1e-2
DROPOUT_RATE = 0.1
PROMPT_DROPOUT_RATE = 0.1
TOKEN_NOISE_RATE = 0.1
EVAL_EVERY = 0
LOG_EVERY = 1
loop.train.eval_dataset = None
text_to_image.TextToImage.tokenizer_params = @kill_test.random_tokenizer
kill_test.random_tokenizer.model = @vit_vqgan.ViTVQGAN()
schedules.warmup_exponential.warmup_steps = 2
optimizers.Adafactor.first_moment_dtype = 'int8'
optimizers.Adafactor.min_dim_size_to_factor = 8
encoder_decoder.EncoderDecoder:
  encoder_layers = 1
  decoder_layers = 1
  d_model = 16
  mlp_dim = 16
  num_heads = 2
  head_dim = 8
vit_vqgan.ViTVQGAN:
  encoder_width = 16
  encoder_mlp_dim = 16
  decoder_width = 16
  decoder_mlp_dim = 16
"""


def random_tokenizer(model):  # type: ignore[no-untyped-def]
    """A frozen tokenizer that nobody has trained, in place of a run's."""
    import jax

    from babeldraw.parallel.rules import unbox

    image = np.zeros((1, model.image_size, model.image_size, 3), np.float32)
    return unbox(jax.jit(model.init)(jax.random.key(7), image)["params"])


def prepare(folder: Path) -> None:
    """Writes pictures with captions, and the recipe."""
    from PIL import Image

    rng = np.random.default_rng(0)
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    for index in range(PICTURES):
        coarse = rng.integers(0, 256, size=(5, 7, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((28, 20)).save(pictures / f"{index:03d}.png")
        (pictures / f"{index:03d}.txt").write_text(f"woman astronaut {index}\nman cook {index}\n")
    (folder / "recipe.gin").write_text(RECIPE.format(pictures=pictures.absolute()))


def train_recipe(folder: Path, name: str, steps: int) -> None:
    """The recipe, from where it stands to its last step, with a checkpoint after each."""
    from babeldraw.cli.support.machines import load_machine_file
    from babeldraw.cli.support.recipes import train_recipe
    from babeldraw.data.vocabulary import EMOJI_VOCABULARY

    os.environ["BABELDRAW_VOCABULARY"] = str(EMOJI_VOCABULARY)
    config = load_machine_file("configs/cpu.py")
    config.checkpoint_every = 1
    bindings = [f"MODEL_DIR = {str(folder / name)!r}", f"TRAIN_STEPS = {steps}"]
    train_recipe([str(folder / "recipe.gin")], bindings, config)


def live(train: Train, folder: Path, name: str, steps: int) -> None:
    """One life of a run: in a process of its own, to the run's last step unless it is killed."""
    log = os.open(folder / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ["XLA_FLAGS"] = ""
    import jax

    jax.config.update("jax_compilation_cache_dir", str(folder / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    train(folder, name, steps)


class Killer:
    """Starts lives and ends them."""

    def __init__(self, train: Train, libraries: Sequence[str], folder: Path, seed: int) -> None:
        os.environ["JAX_PLATFORMS"] = "cpu"
        self.train, self.folder = train, folder
        self.checkpoints = folder / "killed" / "checkpoints"
        self.random = random.Random(seed)
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(list(libraries))

    def start(self, name: str, steps: int) -> BaseProcess:
        """A life of the run `name`."""
        process = self.context.Process(target=live, args=(self.train, self.folder, name, steps))
        process.start()
        return process

    def finish(self, name: str, steps: int) -> float:
        """A life that is left alone; returns its seconds."""
        began = time.perf_counter()
        process = self.start(name, steps)
        process.join()
        self.check(process, name)
        return time.perf_counter() - began

    def check(self, process: BaseProcess, name: str) -> None:
        """Fails where a process ended by itself and was not happy."""
        if process.exitcode:
            log = (self.folder / f"{name}.log").read_text()
            raise RuntimeError(f"a life ended with {process.exitcode}:\n{log[-3000:]}")

    def seen(self) -> tuple[set[int], set[tuple[str, int]]]:
        """Steps of whole checkpoints; names and inodes of those that are being written."""
        whole, written = set(), set()
        for path in os.scandir(self.checkpoints) if self.checkpoints.is_dir() else ():
            if path.name.isdigit():
                whole.add(int(path.name))
            elif path.is_dir():
                written.add((path.name, path.inode()))
        return whole, written

    def kill_once(self, steps: int, limit: int, seconds: float) -> str:
        """One life, killed at a random moment; returns what it was doing then.

        Args:
          steps: the run's last.
          limit: a life that has saved this step is killed at once.
          seconds: that a life takes to its first step.
        """
        before, left_over = self.seen()
        process = self.start("killed", steps)
        aim = self.random.choice(["start", "save", "save", "later"])
        deadline = time.perf_counter() + self.random.uniform(0, seconds) if aim == "start" else None
        while process.is_alive() and (deadline is None or time.perf_counter() < deadline):
            whole, written = self.seen()
            if max(whole, default=0) >= limit:
                break
            is_there = {"save": written - left_over, "later": whole - before, "start": ()}[aim]
            if deadline is None and is_there:
                deadline = time.perf_counter() + self.random.uniform(0, 0.06)
            time.sleep(0.002)
        process.kill()
        process.join()
        if process.exitcode == 0:
            raise RuntimeError("The run ended before it had been killed often enough.")
        if process.exitcode != -signal.SIGKILL:
            self.check(process, "killed")
        whole, written = self.seen()
        if written - left_over:
            return "inside a save" + ("" if whole else ", the first")
        if not whole:
            return "before the first checkpoint"
        return "between saves" if whole - before else "while starting again"


def run(
    folder: Path,
    kills: int,
    seed: int,
    train: Train = train_recipe,
    libraries: Sequence[str] = LIBRARIES,
) -> dict[str, int]:
    """The whole test; returns how many kills came when, and how many arrays were compared.

    Raises:
      RuntimeError: a life failed, or the two runs differ; says where.
    """
    shutil.rmtree(folder, ignore_errors=True)
    prepare(folder)
    killer = Killer(train, libraries, folder, seed)
    steps = STEPS_A_LIFE * kills + 2
    killer.finish("whole", steps)
    seconds = killer.finish("short", 1)  # All is compiled by now.
    tally: collections.Counter[str] = collections.Counter()
    for life in range(kills):
        moment = killer.kill_once(steps, (life + 1) * STEPS_A_LIFE, seconds)
        tally[moment] += 1
        whole, _ = killer.seen()
        print(f"kill {life + 1}: {moment}; last checkpoint {max(whole, default=0)}", flush=True)
    killer.finish("killed", steps)
    arrays, losses = compare(str(folder / "whole"), str(folder / "killed"), steps)
    return {**tally, "arrays compared": arrays, "losses compared": losses}


def compare(whole: str, killed: str, steps: int) -> tuple[int, int]:
    """How many arrays and losses of the two runs were compared; all are the same.

    Raises:
      RuntimeError: they are not.
    """
    from babeldraw import files
    from babeldraw.training.keeping import checkpoint_files

    directories = [files.path(whole), files.path(killed)]

    count = 0
    for item in ("params", "optimizer_state"):
        paths = [directory / "checkpoints" / str(steps) / item for directory in directories]
        arrays, others = (
            checkpoint_files.by_name(checkpoint_files.read_tree(path)) for path in paths
        )
        if arrays.keys() != others.keys():
            raise RuntimeError(f"The two runs have other {item}.")
        for name, array in arrays.items():
            if array.dtype != others[name].dtype or array.tobytes() != others[name].tobytes():
                raise RuntimeError(f"{item}/{name} is another in the run that was killed.")
            count += 1
    whole_losses, killed_losses = map(_losses, directories)
    if whole_losses != killed_losses:
        raise RuntimeError("The two runs logged other losses.")
    return count, len(whole_losses)


def _losses(directory: Any) -> list[dict[str, float]]:
    records = map(json.loads, (directory / "metrics.jsonl").read_text().splitlines())
    return [
        {key: value for key, value in record.items() if key == "step" or key.endswith("loss")}
        for record in records
    ]


def main() -> int:
    """Runs the test and prints the tally."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--output", type=Path, default=Path("runs/kill_test"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    began = time.perf_counter()
    tally = run(args.output.resolve(), args.kills, args.seed)
    seconds = time.perf_counter() - began
    print(f"{args.kills} kills in {seconds:.0f} s; the final states are the same bits.")
    for what, count in tally.items():
        print(f"{count:5d} {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
