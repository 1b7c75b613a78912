"""`babeldraw tokenize`: a folder of pictures to a file of tokens, and back."""

import argparse
import pathlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from babeldraw.cli.support import outputs
from babeldraw.cli.support.flags import Numeric
from babeldraw.errors import UserError
from babeldraw.ranges import Count
from babeldraw.sizes import from_sides, height_and_width

if TYPE_CHECKING:
    from babeldraw.data.picture_files.view import View
    from babeldraw.data.token_file import TokenFile
    from babeldraw.sampling.codec import Codec

SUMMARY = "Turn pictures into tokens with a trained tokenizer, or tokens into pictures."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `babeldraw tokenize` to `parser`."""
    parser.add_argument(
        "--checkpoint", required=True, metavar="DIR", help="run directory of a tokenizer run"
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--images", metavar="DIR", help="folder of pictures of any kind, with its subfolders"
    )
    source.add_argument("--decode", metavar="FILE", help="tokens, as --images wrote them")
    parser.add_argument(
        "--output",
        required=True,
        metavar="PATH",
        help="of --images: the .npz file to write; of --decode: a folder for the PNG files",
    )
    parser.add_argument(
        "--upscale", metavar="DIR", help="with --decode: enlarge with this super-resolution run"
    )
    parser.add_argument(
        "--batch_size", type=Numeric(Count), default=16, metavar="N", help="pictures at a time"
    )


def run(args: argparse.Namespace) -> int:
    """Writes OUTPUT, and says what was skipped."""
    if args.upscale and not args.decode:
        raise UserError("--upscale enlarges decoded pictures; give --decode FILE with it.")
    if args.decode:
        outputs.check_local(args.output, "--output")
    else:
        outputs.check_file(args.output, "--output")
    outputs.check_run(args.checkpoint)
    from babeldraw.cli.support.models import open_model
    from babeldraw.data.token_file import TokenFile

    file = TokenFile.read(args.decode) if args.decode else None
    opened = open_model(args.checkpoint, wanted="codec")
    codec = opened.codec(args.batch_size)
    if file is None:
        _encode(codec, opened.view, args.images, args.output)
    else:
        _decode(codec, args.decode, file, args.output, args.upscale)
    return 0


def _encode(codec: "Codec", view: "View", folder: str, output: str) -> None:
    import numpy as np

    from babeldraw.cli.support.terminal import Progress, skipped_summary
    from babeldraw.data.picture_files.images import ImageFolder
    from babeldraw.data.token_file import MAX_CODEBOOK, TokenFile
    from babeldraw.sampling.batches import batched

    model = codec.model
    if model.codebook_size > MAX_CODEBOOK:
        raise UserError(
            f"This tokenizer has {model.codebook_size} codes, and a file of tokens holds "
            f"{MAX_CODEBOOK} at most; use a tokenizer with a smaller codebook."
        )
    pictures = ImageFolder(folder, model.image_size, view)
    progress = Progress(len(pictures))
    names: list[str] = []
    tokens = [np.zeros((0, model.num_tokens), np.uint16)]
    for batch in batched(pictures, codec.batch_size):
        names += [name for name, _ in batch]
        images = np.stack([image for _, image in batch])
        tokens.append(codec.encode(images).astype(np.uint16))
        progress(len(names))
    progress.close(len(names))
    if not names:
        raise UserError(
            f"{folder} holds no picture that can be read ({skipped_summary(pictures.skipped)}); "
            "give a folder of pictures."
        )
    grid = from_sides(*model.grid)
    file = TokenFile(np.concatenate(tokens), np.array(names), grid, codec.identity)
    file.write(output)
    print(skipped_summary(pictures.skipped))
    print(f"{len(names)} pictures of {model.num_tokens} tokens are in {output}")


def _decode(codec: "Codec", path: str, file: "TokenFile", output: str, upscale: str | None) -> None:
    import numpy as np
    from PIL import Image

    from babeldraw.cli.support.models import open_model
    from babeldraw.cli.support.terminal import Progress
    from babeldraw.files import written_whole
    from babeldraw.sampling.batches import batched

    if file.tokenizer != codec.identity or height_and_width(file.grid) != codec.model.grid:
        raise UserError(
            f"{path} holds tokens of another tokenizer (its encoder and codebook are "
            f"{file.tokenizer[:12]}, those of --checkpoint {codec.identity[:12]}); give the run "
            "that made them, or one that finetuned its decoder."
        )
    targets = output_paths([str(name) for name in file.names], pathlib.Path(output))
    upscaler = open_model(upscale, wanted="upscaler").upscaler() if upscale else None
    progress = Progress(len(targets))
    done = 0
    for batch in batched(zip(targets, file.tokens, strict=True), codec.batch_size):
        images = codec.decode(np.stack([tokens for _, tokens in batch]).astype(np.int32))
        if upscaler is not None:
            images = upscaler(images)
        for (target, _), image in zip(batch, images, strict=True):
            with written_whole(target) as written:
                Image.fromarray(image).save(written, format="PNG")
        done += len(batch)
        progress(done)
    progress.close(done)
    print(f"{done} pictures are in {output}")


def output_paths(names: Iterable[str], folder: pathlib.Path) -> list[pathlib.Path]:
    """Where each picture goes: its name with the suffix `.png`, and a number where that is taken.

    Raises:
      UserError: a name, or a link that stands in `folder`, leads out of `folder`.
    """
    root = folder.resolve()
    taken: set[str] = set()
    targets = []
    for name in names:
        parts = pathlib.PurePosixPath(name).parts
        plain = bool(parts) and not any(set(part) & set("/\\\0") for part in parts)
        stem = pathlib.PurePosixPath(name).with_suffix("") if plain else None
        target = None if stem is None or ".." in parts else root / stem
        if target is None or not target.parent.resolve().is_relative_to(root):
            raise UserError(
                f"The name {name!r} leads out of the folder {folder}; nothing was written: use "
                "tokens from a source that you trust, or another --output."
            )
        candidate, number = f"{target}.png", 1
        while candidate.lower() in taken:
            number += 1
            candidate = f"{target}-{number}.png"
        taken.add(candidate.lower())
        targets.append(pathlib.Path(candidate))
    return targets
