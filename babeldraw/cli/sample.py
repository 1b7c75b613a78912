"""`babeldraw sample`: pictures from prompts, with a trained text-to-image run."""

import argparse
import re
import sys
from pathlib import Path

from babeldraw.errors import UserError

SUMMARY = "Draw pictures of prompts with a trained text-to-image model."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `babeldraw sample` to `parser`."""
    parser.add_argument("prompts", nargs="+", metavar="PROMPT", help="what to draw")
    parser.add_argument(
        "--checkpoint", required=True, metavar="DIR", help="run directory of a text-to-image run"
    )
    parser.add_argument("--output", default="samples", metavar="DIR", help="default: %(default)s")
    parser.add_argument("--num_samples", type=int, default=4, metavar="N", help="per prompt")
    parser.add_argument("--guidance_weight", type=float, default=1.0, metavar="W")
    parser.add_argument("--temperature", type=float, default=1.0, metavar="T")
    parser.add_argument(
        "--cutoff",
        type=float,
        default=0.0,
        metavar="C",
        help="never draw tokens less probable than C times the best one (0: all may be drawn)",
    )
    parser.add_argument(
        "--top_k", type=int, metavar="K", help="draw among the K most probable tokens"
    )
    parser.add_argument(
        "--top_p", type=float, metavar="P", help="draw among the fewest tokens of this probability"
    )
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    """Writes `OUTPUT/PROMPT-NUMBER.png`, one a sample, and `OUTPUT/grid.png`, a row a prompt."""
    _check(args)
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    from babeldraw.cli.runs import open_text_to_image
    from babeldraw.data import vocabulary
    from babeldraw.sampling.pictures import Sampler
    from babeldraw.training.pictures import write_grid

    opened = open_text_to_image(args.checkpoint)
    objective = opened.objective
    sampler = Sampler(
        objective.model,
        opened.params["text_to_image"],
        objective.tokenizer,
        opened.constants["tokenizer"],
        guidance_weight=args.guidance_weight,
        temperature=args.temperature,
        cutoff=args.cutoff,
        top_k=args.top_k,
        top_p=args.top_p,
    )
    text = vocabulary.encode(args.prompts, opened.dataset.vocabulary, objective.model.text_length)
    images = sampler(text, num_samples=args.num_samples, seed=args.seed, on_progress=_progress)

    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    for prompt, samples in zip(args.prompts, images, strict=True):
        for number, image in enumerate(samples):
            metadata = PngInfo()
            metadata.add_itxt("prompt", prompt)
            metadata.add_itxt("seed", str(args.seed))
            metadata.add_itxt("model", args.checkpoint)
            path = output / f"{file_stem(prompt)}-{number:02d}.png"
            Image.fromarray(image).save(path, pnginfo=metadata)
    write_grid(output / "grid.png", images)
    print(f"{images.shape[0] * images.shape[1]} pictures and grid.png are in {output}")
    return 0


def file_stem(prompt: str) -> str:
    """A file name for a prompt: its letters and digits in lower case, at most 60 of them."""
    return re.sub(r"\W+", "-", prompt.lower()).strip("-")[:60] or "prompt"


def _check(args: argparse.Namespace) -> None:
    if args.num_samples < 1:
        raise UserError(f"--num_samples is {args.num_samples}; give 1 or more.")
    if args.temperature < 0:
        raise UserError(f"--temperature is {args.temperature}; give 0 (most probable) or more.")
    if not 0 <= args.cutoff < 1:
        raise UserError(f"--cutoff is {args.cutoff}; give a share from 0 up to, not including, 1.")
    if args.top_k is not None and args.top_k < 1:
        raise UserError(f"--top_k is {args.top_k}; give 1 or more.")
    if args.top_p is not None and not 0 < args.top_p <= 1:
        raise UserError(f"--top_p is {args.top_p}; give a share above 0 and up to 1.")


def _progress(done: int, total: int) -> None:
    end = "\n" if done == total else ""
    print(f"\r{done}/{total} pictures", end=end, file=sys.stderr, flush=True)
