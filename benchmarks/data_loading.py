"""How many pictures and captions a second a core loads, of every source, beside PyTorch.

    python -m benchmarks.data_loading sources [--pictures 512] [--seconds 6] [--width 480]
    python -m benchmarks.data_loading resume [--pictures 256] [--steps 0 100 300000]
    python -m benchmarks.data_loading recipes [--steps 120]

`sources` makes pictures of 480 x 360 pixels (or others of that shape) with two captions each,
writes the same JPEG files in every layout (or those that --layouts names), and loads batches of 32
at 256 pixels with random crops and tokenized captions: what training does, of a set that is too
large to be kept in memory. Beside it a PyTorch DataLoader with two workers that does the same with
Pillow. Each loader runs in a process of its own. "a core" means a second of CPU time, of all
threads and workers, so that other jobs on the machine hardly matter. A batch has a caption a
picture.

`resume` times how long a run that goes on at a step waits for its first batch of such a folder,
each in a process of its own, once TensorFlow is imported.

`recipes` times a batch of each CPU recipe's loader alone against a step of `babeldraw train`.
"""

import argparse
import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import unittest.mock
from collections.abc import Sequence

SIDE, TEXT, BATCH = 256, 32, 32
LAYOUTS = (
    *("folder", "sidecar", "csv", "coco", "narratives"),
    *("webdataset", "parquet", "tfrecord", "array_record"),
)


def make_files(
    folder: pathlib.Path, count: int, width: int = 480, layouts: Sequence[str] = LAYOUTS
) -> dict[str, str]:
    """Writes the layouts; returns the tasks' names."""
    import io

    import numpy as np
    from PIL import Image

    from tests.data import made_pictures

    def picture(index: int) -> bytes:
        noise = np.random.default_rng(index).integers(0, 256, (24, 32, 3), np.uint8)
        size = width, width * 3 // 4
        file = io.BytesIO()
        Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
        return file.getvalue()

    different = [picture(index) for index in range(min(count, 16))]
    pictures, captions = {}, {}
    for index in range(count):
        pictures[f"{index:05d}.jpg"] = different[index % len(different)]
        captions[f"{index:05d}.jpg"] = [
            f"a smooth picture of {index % 97} colours, number {index}",
            f"soft blots of colour on a sheet, the {index}th of many that look alike",
        ]
    return {
        layout: made_pictures.write(layout, folder / layout, pictures, captions)
        for layout in layouts
    }


def cpu_seconds() -> float:
    """Of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def measure(batches, seconds: float) -> tuple[int, float, float]:
    """Pictures, seconds and CPU seconds, once it runs."""
    batches = iter(batches)
    for _ in range(3):
        next(batches)
    start, used, rows = time.perf_counter(), cpu_seconds(), 0
    while time.perf_counter() - start < seconds:
        rows += len(next(batches)["text_tokens"])
    return rows, time.perf_counter() - start, cpu_seconds() - used


def load_ours(task: str, seconds: float, side: int) -> tuple[int, float, float]:
    """Batches of a task."""
    from babeldraw.data.streams import pipeline

    dataset = pipeline.Dataset(task, {"text": TEXT, "image": side}, "train", batch_size=BATCH)
    with unittest.mock.patch("babeldraw.data.sources.picture_source.SMALL", 0):  # nothing is kept
        return measure(dataset.batches(), seconds)


def load_pytorch(folder: str, seconds: float) -> tuple[int, float, float]:
    """The same of the folder with captions.jsonl, by PyTorch's DataLoader.

    The workers' CPU time counts once they have ended, and so with what they loaded ahead: the
    epochs are counted whole.
    """
    import numpy as np
    import sentencepiece
    import torch
    from PIL import Image

    class Pictures(torch.utils.data.Dataset):
        def __init__(self):
            self.rows = {}
            for line in (pathlib.Path(folder) / "captions.jsonl").open():
                row = json.loads(line)
                self.rows.setdefault(row["file_name"], []).append(row["caption"])
            self.names, self.words = sorted(self.rows), None

        def __len__(self):
            return len(self.names)

        def __getitem__(self, index):
            if self.words is None:  # in the worker
                model = os.environ["BABELDRAW_VOCABULARY"]
                self.words = sentencepiece.SentencePieceProcessor(model_file=model)
                self.random = np.random.default_rng(index)
            name, random = self.names[index], self.random
            image = Image.open(pathlib.Path(folder) / name).convert("RGB")
            side, margin = min(image.size), np.subtract(image.size, min(image.size))
            left, top = random.integers(3 * margin // 8, 5 * margin // 8 + 1)
            resized = int(random.integers(SIDE, min(side, SIDE * 9 // 8) + 1))
            box = (left, top, left + side, top + side)
            image = image.resize((resized, resized), Image.Resampling.BOX, box)
            x, y = random.integers(0, resized - SIDE + 1, 2)
            pixels = np.asarray(image)[y : y + SIDE, x : x + SIDE]
            texts = self.rows[name]
            caption = texts[random.integers(len(texts))]
            ids = [*self.words.encode(caption)[: TEXT - 1], 1]
            tokens = np.zeros(TEXT, np.int32)
            tokens[: len(ids)] = ids
            return {
                "text_tokens": torch.from_numpy(tokens),
                "image": torch.from_numpy(pixels.copy()),
            }

    torch.set_num_threads(1)
    loader = torch.utils.data.DataLoader(
        Pictures(),
        batch_size=BATCH,
        shuffle=True,
        num_workers=2,
        drop_last=True,
        multiprocessing_context="fork",
    )
    rows, start, used = 0, time.perf_counter(), cpu_seconds()
    while time.perf_counter() - start < seconds:
        rows += sum(len(batch["text_tokens"]) for batch in loader)  # its workers end with it
    return rows, time.perf_counter() - start, cpu_seconds() - used


def apart(function, *arguments):
    """The function's result in a fresh process."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        return pool.submit(function, *arguments).result()


def sources(args: argparse.Namespace) -> None:
    """Prints a row a source."""
    from babeldraw.data import vocabulary

    os.environ["BABELDRAW_VOCABULARY"] = str(vocabulary.EMOJI_VOCABULARY)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BABELDRAW_CACHE_DIR"] = f"{folder}/cache"
        names = apart(make_files, pathlib.Path(folder), args.pictures, args.width, args.layouts)
        rows = {"PyTorch DataLoader, folder": apart(load_pytorch, f"{folder}/folder", args.seconds)}
        for layout, name in names.items():
            rows[layout] = apart(load_ours, name, args.seconds, SIDE)
        if args.layouts == LAYOUTS:
            rows["emoji_32 (32 px, in memory)"] = apart(load_ours, "emoji_32", args.seconds, 32)
        if args.tokens:
            rows["tokens"] = apart(
                load_ours, f"tokens:{args.tokens}", args.seconds, args.token_side
            )
    reference = rows["PyTorch DataLoader, folder"]
    print("| source | images (and captions) a second a core | over PyTorch | images a second |")
    print("|---|---|---|---|")
    for name, (count, wall, cpu) in rows.items():
        ratio = count / cpu / (reference[0] / reference[2])
        print(f"| {name} | {count / cpu:.0f} | {ratio:.2f} | {count / wall:.0f} |")
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")


def first_batch(task: str, step: int) -> float:
    """Seconds until batch `step` is there, of a stream that begins with it."""
    from babeldraw.data.streams import pipeline

    dataset = pipeline.Dataset(task, {"text": TEXT, "image": SIDE}, "train", batch_size=BATCH)
    start = time.perf_counter()
    next(dataset.batches(start_step=step))
    return time.perf_counter() - start


def resume(args: argparse.Namespace) -> None:
    """Prints a row a step."""
    from babeldraw.data import vocabulary

    os.environ["BABELDRAW_VOCABULARY"] = str(vocabulary.EMOJI_VOCABULARY)
    print("| step that the stream begins at | seconds to its first batch |")
    print("|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        name = apart(make_files, pathlib.Path(folder), args.pictures)["folder"]
        for step in args.steps:
            print(f"| {step:,} | {apart(first_batch, name, step):.2f} |", flush=True)
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")


RECIPES = {
    "quickstart_tokenizer": (),
    "quickstart_text_to_image": ("TOKENIZER_CHECKPOINT='{tokenizer}'",),
    "super_resolution_small": ("TOKENIZER_CHECKPOINT='{tokenizer}'",),
    "emoji_tokenizer_64": (),
    "coca_small": (),
}


def loader_alone(files: list[str], bindings: list[str], batches: int) -> float:
    """Milliseconds a batch of a recipe's training data, once it runs."""
    from babeldraw.cli.support import gin_config

    gin_config.parse_gin(files, bindings)
    import gin

    dataset = gin.query_parameter("loop.train.train_dataset").scoped_configurable_fn()
    source = dataset.batches()
    next(source)
    took = []
    for _ in range(batches):
        start = time.perf_counter()
        next(source)
        took.append(1e3 * (time.perf_counter() - start))
    return statistics.mean(took)


def recipes(args: argparse.Namespace) -> None:
    """Prints a row a recipe."""
    print("| recipe | batch, loader alone | step of training | step over loader |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = f"{folder}/quickstart_tokenizer"
        for name, settings in RECIPES.items():
            run, files = f"{folder}/{name}", [f"gin/runs/{name}.gin"]
            bindings = [setting.format(tokenizer=tokenizer) for setting in settings]
            bindings += [
                f"TRAIN_STEPS={args.steps}",
                f"LOG_EVERY={args.steps // 3}",
                "EVAL_EVERY=0",
            ]
            command = [sys.executable, "-m", "babeldraw.cli.main", "train"]
            command += [f"--gin_file={file}" for file in files]
            command += [f"--gin.{binding}" for binding in bindings] + [f"--model_dir={run}"]
            subprocess.run(command, check=True, capture_output=True)
            lines = (pathlib.Path(run) / "metrics.jsonl").read_text().splitlines()
            steps = [json.loads(line) for line in lines]
            step = 1e3 * [s["seconds_per_step"] for s in steps if "seconds_per_step" in s][-1]
            bindings.append(f"MODEL_DIR='{run}'")
            alone = apart(loader_alone, files, bindings, 200)
            print(f"| {name} | {alone:.2f} ms | {step:.0f} ms | {step / alone:.0f} |", flush=True)
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")


def main() -> None:
    """Runs what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("sources")
    command.add_argument("--pictures", type=int, default=512)
    command.add_argument("--seconds", type=float, default=6)
    command.add_argument("--width", type=int, default=480, help="of the pictures, in pixels")
    command.add_argument("--layouts", nargs="+", default=LAYOUTS, choices=LAYOUTS)
    command.add_argument("--tokens", help="folder of babeldraw tokenize-dataset, for a row more")
    command.add_argument("--token_side", type=int, default=32, help="side of its pictures")
    command = commands.add_parser("resume")
    command.add_argument("--pictures", type=int, default=256)
    command.add_argument("--steps", type=int, nargs="+", default=[0, 100, 300_000])
    command = commands.add_parser("recipes")
    command.add_argument("--steps", type=int, default=120)
    args = parser.parse_args()
    {"sources": sources, "resume": resume, "recipes": recipes}[args.command](args)


if __name__ == "__main__":
    main()
