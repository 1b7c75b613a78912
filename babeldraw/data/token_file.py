"""Pictures as tokens in one `.npz` file."""

import dataclasses
import math
import os

import numpy as np
from jaxtyping import UInt16

from babeldraw import files
from babeldraw.errors import UserError
from babeldraw.files import written_whole
from babeldraw.sizes import Size, height_and_width

MAX_CODEBOOK = 2**16
"""Tokens are stored in 16 bits."""


@dataclasses.dataclass(frozen=True)
class TokenFile:
    """What `babeldraw tokenize` writes.

    Attributes:
      tokens: a picture's tokens a row, in raster order.
      names: array of str: the pictures' paths, relative to the folder that they came from.
      grid: rows of tokens, and as many columns; of rectangles rows and columns.
      tokenizer: `Codec.identity` of the tokenizer that they belong to.
    """

    tokens: UInt16[np.ndarray, "n tokens"]
    names: np.ndarray
    grid: Size
    tokenizer: str

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes the file, in one piece; its names are fixed-width unicode, nothing is pickled.

        Raises:
          UserError: it cannot be written.
        """
        with written_whole(path) as file:
            np.savez(
                file,
                tokens=self.tokens,
                names=self.names,
                grid=np.asarray(self.grid, np.int32),
                tokenizer=np.str_(self.tokenizer),
            )

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "TokenFile":
        """Reads a file and checks its form; unpickles nothing.

        Raises:
          UserError: there is no such file, it is damaged, or of another form.
        """
        try:
            with files.path(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                read = {name: arrays[name] for name in ("tokens", "names", "grid", "tokenizer")}
        except Exception as error:  # a damaged archive fails in a dozen ways
            missing = isinstance(error, OSError) and error.strerror
            reason = missing or " ".join(str(error).split())[:200] or type(error).__name__
            raise UserError(
                f"{path} cannot be read as tokens ({reason}); give a file that `babeldraw "
                "tokenize --images` wrote."
            ) from error
        tokens, names, sides, tokenizer = read.values()
        grid: Size = sides.tolist() if sides.shape == () else tuple(sides.tolist())
        if not (
            tokens.dtype == np.uint16
            and tokens.ndim == 2
            and names.dtype.kind == "U"
            and names.shape == tokens.shape[:1]
            and sides.dtype.kind == "i"
            and sides.shape in ((), (2,))
            and sides.min() > 0
            and math.prod(height_and_width(grid)) == tokens.shape[1]
            and tokenizer.dtype.kind == "U"
            and tokenizer.shape == ()
        ):
            raise UserError(
                f"{path} holds arrays, but not in the form of tokens with their names; give a file "
                "that `babeldraw tokenize --images` wrote."
            )
        return cls(tokens, names, grid, str(tokenizer))
