"""`--decoder RUN`: pictures by another decoder of a run's tokenizer, for the same tokens."""

import argparse
import dataclasses
from typing import TYPE_CHECKING

from babeldraw.errors import UserError

if TYPE_CHECKING:
    from babeldraw.cli.support.runs import Run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `--decoder` to the parser of a command that draws."""
    parser.add_argument(
        "--decoder",
        metavar="RUN",
        help="make pictures by the decoder of this run, such as gin/runs/decoder_finetune.gin "
        "trains: of the same encoder and codebook (default: that of the checkpoint's tokenizer)",
    )


def with_decoder(opened: "Run", decoder: str) -> "Run":
    """The run with the tokenizer of another one, whose tokens mean the same.

    Raises:
      UserError: the run draws nothing, the other one has no decoder, or its tokens are others.
    """
    from babeldraw.cli.support.runs import open_run
    from babeldraw.models.token_identity import token_identity
    from babeldraw.objectives.tokenized_pictures import TokenizedPictures

    if not isinstance(opened.objective, TokenizedPictures):
        raise UserError(
            f"--decoder is for runs that draw tokens, and {opened.model_dir} is a "
            f"{type(opened.objective).__name__} run; leave it out."
        )
    codec = open_run(decoder, opened.mesh, "codec").codec()
    own, other = token_identity(opened.networks["tokenizer"]), token_identity(codec.params)
    if own != other:
        raise UserError(
            f"The tokens of {decoder} mean something else than those of {opened.model_dir} (its "
            f"encoder and codebook are {other[:12]}, not {own[:12]}); give a run of "
            "gin/runs/decoder_finetune.gin that was started from this one's tokenizer."
        )
    objective = dataclasses.replace(opened.objective, tokenizer=codec.model)
    run = dataclasses.replace(opened, objective=objective)
    run.__dict__["networks"] = {**opened.networks, "tokenizer": codec.params}  # As if read.
    return run
