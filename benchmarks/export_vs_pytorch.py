"""An exported text-to-image model in JAX and in PyTorch: logits, pictures, greedily drawn tokens.

    pip install -e '.[bench]'
    python -m benchmarks.export_vs_pytorch RUN

RUN is a run directory, exported here as float32, or a folder of `babeldraw export`. JAX draws an
image of each prompt by chance; both give the logits of its tokens, each after those before it, and
its picture; and both draw greedily, with the guidance that goes with the folder. All in float32.

PyTorch has a process of its own (`benchmarks.read_export_with_pytorch`), which imports no JAX.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

LOGITS, LEVELS = 1e-4, 1
"""Asked for: the largest differences."""

Found = dict[str, np.ndarray]


def ours(folder: pathlib.Path, prompts: list[str]) -> Found:
    """By JAX: text tokens, tokens drawn by chance, their logits and pictures, greedy tokens."""
    import jax
    import jax.numpy as jnp
    from etils import epath

    from babeldraw.exporting import folder as exported
    from babeldraw.pieces import Pieces, encode
    from babeldraw.sampling.codec import decode_pictures
    from babeldraw.sampling.generate import generate_tokens

    opened = exported.read(epath.Path(folder))
    model, tokenizer = (
        opened.module(name).clone(dtype=jnp.float32)
        for name in (exported.TRANSFORMER, exported.TOKENIZER)
    )
    params = opened.params(exported.TRANSFORMER)
    vocabulary = Pieces(opened.vocabulary_file(exported.TRANSFORMER))
    text = encode(prompts, vocabulary, model.text_length)
    keys = jax.random.split(jax.random.key(0), len(prompts))

    def draw(**settings):
        return jax.jit(lambda *given: generate_tokens(model, *given, **settings))(
            params, text, keys
        )[0]

    tokens = draw()
    return {
        "text": text,
        "tokens": tokens,
        "logits": jax.jit(model.apply)({"params": params}, text, tokens),
        "pictures": jax.jit(lambda *given: decode_pictures(tokenizer, *given))(
            opened.params(exported.TOKENIZER), tokens
        ),
        "greedy": draw(temperature=0.0, **opened.config["drawing"]),
    }


def theirs(folder: pathlib.Path, prompts: list[str], tokens: np.ndarray) -> Found:
    """By PyTorch, of the same tokens; `text` is what it makes of the prompts itself."""
    import torch

    from benchmarks.read_export_with_pytorch import Model

    with torch.inference_mode():
        model = Model(folder)
        text, given = model.text_tokens(prompts), torch.tensor(tokens).long()
        found = {
            "text": text,
            "logits": model.logits(model.encode(text), given),
            "pictures": model.pictures(given),
            "greedy": model.draw(text, **model.drawing),
        }
    return {name: array.numpy() for name, array in found.items()}


def compare(folder: pathlib.Path, prompts: list[str], python: str) -> tuple[Found, Found]:
    """Both, PyTorch's in a process of its own."""
    with tempfile.TemporaryDirectory() as work:
        given, made = (f"{work}/{name}.npz" for name in ("given", "made"))
        by_jax = ours(folder, prompts)
        np.savez(given, prompts=prompts, tokens=by_jax["tokens"])
        command = [python, "-m", "benchmarks.export_vs_pytorch", str(folder)]
        subprocess.run([*command, "--theirs", given, made], check=True)
        with np.load(made) as file:
            return {name: np.asarray(array) for name, array in by_jax.items()}, dict(file)


def differences(by_jax: Found, by_pytorch: Found) -> Found:
    """The largest of logits and of levels; how many levels, text tokens and pictures differ."""
    logits = np.abs(by_jax["logits"] - by_pytorch["logits"])
    levels = np.abs(by_jax["pictures"].astype(int) - by_pytorch["pictures"])
    greedy = (by_jax["greedy"] != by_pytorch["greedy"]).any(axis=1)
    return {
        "logits": logits.max(),
        "pictures": levels.max(),
        "levels": np.sum(levels > 0),
        "text": np.sum(by_jax["text"] != by_pytorch["text"]),
        "greedy": np.sum(greedy),
    }


def read_prompts(folder: pathlib.Path, file: str | None, count: int) -> list[str]:
    """Lines of a file, or captions that the folder keeps, held out and seen in turn."""
    from etils import epath

    from babeldraw.training.keeping import prompts

    if file is not None:
        found = pathlib.Path(file).read_text().splitlines()
    else:
        kept = prompts.read_prompts(epath.Path(folder))
        found = [*kept.held_out[: count // 2], *kept.seen][:count]
    if len(found) < count:
        raise SystemExit(f"There are {len(found)} prompts, not {count}; give --prompts FILE.")
    return found[:count]


def main() -> int:
    """Prints the differences; 1 where one is larger than asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", metavar="RUN", help="run directory, or an exported folder")
    parser.add_argument("--prompts", metavar="FILE", help="a prompt a line; default: its captions")
    parser.add_argument("--count", type=int, default=100, help="prompts")
    parser.add_argument("--python", default=sys.executable, help="one that has PyTorch")
    parser.add_argument("--theirs", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    folder = pathlib.Path(args.run)
    if args.theirs:
        with np.load(args.theirs[0]) as given:
            np.savez(args.theirs[1], **theirs(folder, given["prompts"].tolist(), given["tokens"]))
        return 0
    with tempfile.TemporaryDirectory() as work:
        if not (folder / "config.json").exists():
            from babeldraw.cli.main import main as babeldraw

            folder = pathlib.Path(work) / "exported"
            if status := babeldraw(["export", "--checkpoint", args.run, "--output", str(folder)]):
                return status
        prompts = read_prompts(folder, args.prompts, args.count)
        by_jax, by_pytorch = compare(folder, prompts, args.python)
    found, logits = differences(by_jax, by_pytorch), by_jax["logits"]
    print(f"{len(prompts)} prompts, {by_jax['tokens'].size} image tokens")
    print(f"logits from {logits.min():.1f} to {logits.max():.1f}: apart by {found['logits']:.1e}")
    print(
        f"levels of pictures: apart by {found['pictures']} at most, "
        f"in {found['levels']} of {by_jax['pictures'].size}"
    )
    print(f"text tokens that differ: {found['text']} of {by_jax['text'].size}")
    print(f"drawn greedily: {len(prompts) - found['greedy']} have the same tokens")
    return int(found["logits"] > LOGITS or found["pictures"] > LEVELS or found["text"] > 0)


if __name__ == "__main__":
    sys.exit(main())
