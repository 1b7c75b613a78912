"""The emoji model, all of it from nothing, and what it is worth.

    python -m benchmarks.emoji_model train [--only STAGE ...] [--gin.NAME=VALUE ...]
    python -m benchmarks.emoji_model same [--steps 200]
    python -m benchmarks.emoji_model cost [--only STAGE ...]
    python -m benchmarks.emoji_model scores [--model emoji] [--seeds 3] [--guidance 3]
        [--candidates 4]

`train` runs, one after the other, the commands that it prints: it builds the pictures, trains the
tokenizer, makes the tokens, trains text to image, super-resolution and the captioner, and exports
them as one folder, all below --output. Stopped at any moment, it goes on there when given again.
`--only decoder` trains a larger decoder for the tokens, which is not exported. What each command
took, in seconds of the clock and of processors, is kept in OUTPUT/costs.jsonl, and summed up at the
end.

`same` trains the first steps of the tokenizer twice, and prints the hash of all arrays of both.

`cost` takes a few steps of each training, after those before it, and says what all steps come to in
processor hours: unlike the clock, these hardly depend on what else the machine does.

`scores` draws seen prompts and held-out ones, and says how often the nearest of all real pictures
(`evaluation.retrieval`) is the one asked for; it writes OUTPUT/scores.json and OUTPUT/samples.png.
With several --candidates a prompt, that which the captioner finds the most like it counts.
"""

import argparse
import contextlib
import io
import json
import os
import re
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

OUTPUT = "runs/emoji_model"
RECIPE = "gin/runs/emoji_model_{}.gin"
NOTES = "benchmarks/emoji_model_notes.md"
GUIDANCE, CUTOFF = 3.0, 0.1
"""With which the exported model draws where nobody says otherwise."""
ASIDE = "decoder"
"""The stage that is trained only when it is asked for."""
SPLITS = {"train": "seen", "heldout_style": "unseen styles", "heldout_people": "unseen people"}


def commands(output: Path) -> dict[str, list[str]]:
    """The `babeldraw` command of each stage, in their order."""
    tokenizer, tokens = output / "tokenizer", output / "tokens"
    frozen = f"--gin.TOKENIZER_CHECKPOINT={tokenizer}"

    def train(stage: str, *more: str) -> list[str]:
        recipe = f"--gin_file={RECIPE.format(stage)}"
        return ["train", recipe, *more, f"--model_dir={output / stage}"]

    return {
        "pictures": ["data", "build", "emoji", "--size=64"],
        "tokenizer": train("tokenizer"),
        "tokens": [
            "tokenize-dataset",
            f"--checkpoint={tokenizer}",
            "--task=emoji_words_64",
            f"--output={tokens}",
        ],
        "decoder": train("decoder", frozen),
        "text_to_image": train(
            "text_to_image",
            frozen,
            f"--gin.MIXTURE_OR_TASK_NAME=tokens:{tokens}",
            "--gin.TOKENS_BEFOREHAND=True",
        ),
        "large_pictures": ["data", "build", "emoji", "--size=256"],
        "super_resolution": train("super_resolution", frozen),
        "coca": train("coca"),
        "export": [
            "export",
            f"--checkpoint={output / 'text_to_image'}",
            f"--rerank={output / 'coca'}",
            f"--upscale={output / 'super_resolution'}",
            "--precision=int8",
            f"--guidance_weight={GUIDANCE}",
            f"--cutoff={CUTOFF}",
            f"--notes={NOTES}",
            f"--output={output / 'exported'}",
        ],
    }


def train(args: argparse.Namespace) -> None:
    """Runs the stages that are asked for, and prints their costs.

    Raises:
      SystemExit: a command failed or was stopped.
    """
    from babeldraw.data.sets.emoji_sheets import CELLS_FILE
    from babeldraw.files import cache_dir

    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    for stage, command in commands(output).items():
        if stage not in args.only if args.only else stage == ASIDE:
            continue
        if command[0] == "data":
            size = command[-1].removeprefix("--size=")
            if (cache_dir() / "emoji" / size / CELLS_FILE).exists():
                continue
        given = args.given if command[0] == "train" else []
        code = timed(output, stage, [*command, *given])
        if code:
            raise SystemExit(code)
    print(*costs(output), sep="\n")


def timed(output: Path, stage: str, command: list[str]) -> int:
    """Runs a `babeldraw` command; returns its exit code. Its cost is added to the list."""
    print("babeldraw", shlex.join(command), flush=True)
    began, before = time.time(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-m", "babeldraw.cli.main", *command], check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    record = {
        "stage": stage,
        "seconds": round(time.time() - began, 1),
        "cpu_seconds": round(spent, 1),
        "load": os.getloadavg()[0],
        "exit_code": done.returncode,
    }
    with (output / "costs.jsonl").open("a") as file:
        file.write(json.dumps(record) + "\n")
    return done.returncode


def costs(output: Path) -> list[str]:
    """A table of what each stage took, over all starts."""
    records = [json.loads(line) for line in (output / "costs.jsonl").read_text().splitlines()]
    lines = ["| stage | starts | hours | processor hours |", "|---|---|---|---|"]
    for stage in dict.fromkeys(record["stage"] for record in records):
        own = [record for record in records if record["stage"] == stage]
        hours, spent = (sum(r[key] for r in own) / 3600 for key in ("seconds", "cpu_seconds"))
        lines.append(f"| {stage} | {len(own)} | {hours:.2f} | {spent:.2f} |")
    return lines


def same(args: argparse.Namespace) -> None:
    """Prints the hash of two runs' arrays.

    Raises:
      SystemExit: they differ.
    """
    from babeldraw.training.keeping.init_from import identity

    found = set()
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            command = commands(Path(folder))["tokenizer"]
            few = [f"--gin.loop.train.train_steps={args.steps}", "--gin.EVAL_EVERY=0"]
            code = timed(Path(folder), "tokenizer", [*command, *few, *args.given])
            if code:
                raise SystemExit(code)
            found.add(identity(f"{folder}/tokenizer", args.steps))
        print(f"after {args.steps} steps: {sorted(found)[-1]}", flush=True)
    if len(found) > 1:
        raise SystemExit("The runs differ.")


def cost(args: argparse.Namespace) -> None:
    """Prints a row a training."""
    print("| stage | steps | processor seconds a step | processor hours |")
    print("|---|---|---|---|")
    for stage, command in commands(Path(args.output)).items():
        if command[0] == "train" and (not args.only or stage in args.only):
            spent, steps = a_step([*command[1:], *args.given])
            hours = spent * steps / 3600
            print(f"| {stage} | {steps:,} | {spent:.2f} | {hours:.1f} |", flush=True)


def a_step(words: list[str]) -> tuple[float, int]:
    """Processor seconds of a step, between the tenth and the thirtieth; and how many there are."""
    from babeldraw.cli import train as train_command
    from babeldraw.cli.main import split_gin_bindings
    from babeldraw.cli.support.machines import load_machine_file, set_environment
    from babeldraw.cli.support.recipes import train_recipe

    parser = argparse.ArgumentParser(allow_abbrev=False)
    train_command.add_arguments(parser)
    args = parser.parse_args(split_gin_bindings(words))
    machine = load_machine_file(args.config)
    set_environment(machine)
    clock = _Clock()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(clock):
        few = ["loop.train.train_steps = 30", "LOG_EVERY = 10", "EVAL_EVERY = 0"]
        given = [*args.gin_bindings, *few, f"MODEL_DIR = {folder!r}"]
        train_recipe(args.gin_file, given, machine)
    import gin

    return (clock.at[30] - clock.at[10]) / 20, gin.query_parameter("%TRAIN_STEPS")


class _Clock(io.StringIO):
    """Notes the processor time of this process when the line of a step is written."""

    def __init__(self) -> None:
        super().__init__()
        self.at: dict[int, float] = {}

    def write(self, text: str) -> int:
        if found := re.match(r"step (\d+)/", text):
            self.at.setdefault(int(found[1]), time.process_time())
        return len(text)


def scores(args: argparse.Namespace) -> None:
    """Prints a row a split, and writes what it has found."""
    from benchmarks import emoji_model_scores

    output = Path(args.output)
    settings = {"guidance_weight": args.guidance, "temperature": 1.0, "cutoff": args.cutoff}
    found: dict[str, Any] = {"settings": settings, "seeds": args.seeds, "splits": {}}
    name = args.model or str(output / "text_to_image")
    found["model"], found["candidates"] = Path(name).name, args.candidates
    model = emoji_model_scores.Model.open(name, settings, args.candidates, args.rerank)
    cells = emoji_model_scores.Cells.read(model.size)
    found["steps"], drawn = model.step, []
    print("| prompts | n | concept | style | both |")
    print("|---|---|---|---|---|")
    for split, name in SPLITS.items():
        rows = cells.some(split, args.prompts)
        result = emoji_model_scores.score(model, cells, rows, args.seeds)
        found["splits"][split] = result.as_data()
        print(f"| {name} | {len(rows)} | {' | '.join(result.in_words())} |", flush=True)
        drawn.append((name, rows, result))
    emoji_model_scores.write_sheet(output / "samples.png", cells, drawn)
    (output / "scores.json").write_text(json.dumps(found, indent=2) + "\n")


def main(arguments: list[str] | None = None) -> None:
    """Runs what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    subparsers = parser.add_subparsers(required=True)
    for function in (train, same, cost, scores):
        command = subparsers.add_parser(function.__name__, help=function.__doc__.splitlines()[0])
        command.set_defaults(function=function)
        command.add_argument("--output", default=OUTPUT, metavar="DIR")
    every = subparsers.choices
    every["train"].add_argument("--only", nargs="+", choices=list(commands(Path())))
    every["cost"].add_argument("--only", nargs="+", choices=list(commands(Path())))
    every["same"].add_argument("--steps", type=int, default=200)
    every["scores"].add_argument("--model", help="another one, such as emoji: the shipped one")
    every["scores"].add_argument("--seeds", type=int, default=3)
    every["scores"].add_argument("--prompts", type=int, default=192, help="of each split")
    every["scores"].add_argument("--guidance", type=float, default=GUIDANCE)
    every["scores"].add_argument("--cutoff", type=float, default=CUTOFF)
    every["scores"].add_argument(
        "--candidates", type=int, default=1, help="drawn of each prompt; the captioner's first"
    )
    every["scores"].add_argument("--rerank", metavar="RUN", help="a captioner of its own")
    args, given = parser.parse_known_args(arguments)
    args.given = given
    if wrong := [word for word in given if not word.startswith("--gin.")]:
        parser.error(f"unrecognized arguments: {' '.join(wrong)}")
    args.function(args)


if __name__ == "__main__":
    main()
