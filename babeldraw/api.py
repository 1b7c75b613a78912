"""What a person imports: a trained model that draws, tokenizes, captions and scores.

    import babeldraw
    model = babeldraw.load("emoji")
    model.draw("a red apple", n=4, seed=0)[0].image.show()

The command line opens models, draws, orders and enlarges by the same functions: the same settings
give the same tokens and pictures, bit for bit.
"""

import dataclasses
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from babeldraw.cli.support import conditions
from babeldraw.cli.support.drawn_files import entries_of, png_info
from babeldraw.cli.support.exported import Exported
from babeldraw.cli.support.known_prompts import known_to
from babeldraw.cli.support.models import open_model
from babeldraw.cli.support.named import find_model
from babeldraw.cli.support.prompts import encode_prompts
from babeldraw.cli.support.runs import Run
from babeldraw.errors import UserError
from babeldraw.sampling.codec import Codec
from babeldraw.sampling.finish import Judge, finish
from babeldraw.sampling.pictures import Sampler
from babeldraw.sampling.rerank import Reranker
from babeldraw.sampling.upscale import Upscaler
from babeldraw.sizes import height_and_width
from babeldraw.training.keeping import run_folders

Picture = Image.Image | UInt8[np.ndarray, "height width 3"] | str | os.PathLike[str]
"""A picture of any size: opened, an array of sRGB, or a file."""


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A drawn picture.

    Attributes:
      score: mean log-probability of its tokens, nats a token; see `sampling.pictures.Samples`.
      similarity: of picture and prompt, from -1 to 1, where the model brings a CoCa.
      metadata: what makes the picture again, as PNG files of `babeldraw sample` hold it.
    """

    image: Image.Image
    tokens: Int[np.ndarray, "n"]
    score: float
    similarity: float | None
    metadata: Mapping[str, str]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a PNG file with its metadata."""
        self.image.save(path, "PNG", pnginfo=png_info(self.metadata))

    def _repr_png_(self) -> bytes:
        return self.image._repr_png_() or b""  # for notebooks


class Model:
    """An opened run, or an exported model. What it cannot do raises a `UserError` that says so."""

    def __init__(self, opened: Run | Exported) -> None:
        self._opened = opened
        self._parts: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"babeldraw.load({self._opened.model_dir!r})"

    def _part(self, name: str, *arguments: Any) -> Any:
        """The sampler, codec, reranker or upscaler; made once, with its compiled programs."""
        if name not in self._parts:
            self._parts[name] = getattr(self._opened, name)(*arguments)
        return self._parts[name]

    @overload
    def draw(self, prompt: str | None, *, n: int = 1, **settings: Any) -> list[Drawn]: ...
    @overload
    def draw(self, prompt: Sequence[str], *, n: int = 1, **settings: Any) -> list[list[Drawn]]: ...
    def draw(  # type: ignore[misc]  # what **settings are is said once
        self,
        prompt: str | Sequence[str] | None,
        *,
        n: int = 1,
        seed: int = 0,
        guidance_weight: float | None = None,
        temperature: float = 1.0,
        cutoff: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        batch_size: int = 16,
        plain: bool = False,
    ) -> list[Drawn] | list[list[Drawn]]:
        """Draws `n` pictures of a prompt, the best first where the model brings a CoCa.

        Args:
          prompt: a text, or the name or number of a class, as the model reads it; None: draw what
            it draws when told nothing; several: a list of pictures for each.
          n: pictures of each prompt.
          seed: other numbers are other pictures.
          guidance_weight, cutoff: None: the model's own, or else 1 and 0. These, `temperature`,
            `top_k`, `top_p` and `batch_size`: see `babeldraw.sampling.pictures.Sampler`.
          plain: neither order nor enlarge with the networks that an exported model brings.

        Raises:
          UserError: the model does not draw, or not of this; or a setting is out of range.
        """
        if n < 1 or batch_size < 1:
            raise UserError(f"n is {n} and batch_size {batch_size}; give 1 or more.")
        defaults = {"guidance_weight": 1.0, "cutoff": 0.0, **self._opened.defaults}
        settings = {
            "guidance_weight": defaults["guidance_weight"]
            if guidance_weight is None
            else guidance_weight,
            "temperature": temperature,
            "cutoff": defaults["cutoff"] if cutoff is None else cutoff,
            "top_k": top_k,
            "top_p": top_p,
        }
        said = [prompt] if isinstance(prompt, str) else list(prompt or [conditions.UNCONDITIONAL])
        reader = self._conditions(prompt is None)
        asked = reader.read(said)
        if doubts := reader.doubts(said):
            warnings.warn(doubts, stacklevel=2)
        samples = self._configured({**settings, "batch_size": batch_size}).generate(
            np.stack([one.condition for one in asked]), num_samples=n, seed=seed
        )
        brings = {} if plain else {part: self._opened.brings(part) for part in _FINISHING}
        judge = self._judge(said) if brings.get("reranker") and reader.kind == "prompt" else None
        upscaler: Upscaler | None = self._part("upscaler") if brings.get("upscaler") else None
        done = finish(samples, n, judge, upscaler)
        given = {name: value for name, value in settings.items() if value is not None}
        given |= {"plain": True} if plain else {}

        def drawn(row: int, rank: int) -> Drawn:
            number = int(done.order[row, rank])
            score = float(done.scores[row, number])
            entries = entries_of(given, self._opened, asked[row].metadata, seed, number, score)
            similarity = None if done.found is None else float(done.found[row, number])
            if similarity is not None:
                entries["similarity"] = f"{similarity:.4f}"
            image = Image.fromarray(done.images[row, rank])
            return Drawn(image, done.tokens[row, number], score, similarity, entries)

        rows = [[drawn(row, rank) for rank in range(n)] for row in range(len(said))]
        return rows[0] if prompt is None or isinstance(prompt, str) else rows

    def _configured(self, settings: Mapping[str, Any]) -> Sampler:
        """The sampler with these settings; the same one while they stay."""
        sampler: Sampler = self._part("sampler")
        if any(getattr(sampler, name) != value for name, value in settings.items()):
            sampler = dataclasses.replace(sampler, **settings)
            self._parts["sampler"] = sampler
        return sampler

    def _conditions(self, unconditional: bool) -> conditions.Conditions:
        model = self._part("sampler").model
        if unconditional:
            return conditions.Nothing(model)
        if model.condition_shape:
            return conditions.Texts(self._opened, model, known_to(self._opened))
        if model.num_classes:
            return conditions.class_conditions(self._opened.model_dir, model)
        raise UserError(
            f"{self._opened.model_dir} was trained on pictures alone, and reads neither texts nor "
            "classes; draw None."
        )

    def _judge(self, prompts: Sequence[str]) -> Judge:
        reranker: Reranker = self._part("reranker")
        text = encode_prompts(prompts, self._opened.judge_vocabulary, reranker.model)
        return lambda images: reranker(text, images)

    def tokenize(self, pictures: Picture | Sequence[Picture]) -> Int[np.ndarray, "pictures n"]:
        """Tokens of pictures, in raster order, int32.

        Raises:
          UserError: there is no tokenizer, or a picture cannot be read.
        """
        codec: Codec = self._part("codec")
        return codec.encode(self._read(pictures, codec.model.image_size))

    def detokenize(self, tokens: Int[np.ndarray, "pictures n"]) -> list[Image.Image]:
        """Pictures of tokens.

        Raises:
          UserError: there is no tokenizer, or the tokens are not its own.
        """
        codec: Codec = self._part("codec")
        return [Image.fromarray(image) for image in codec.decode(np.asarray(tokens, np.int32))]

    def reconstruct(self, pictures: Picture | Sequence[Picture]) -> list[Image.Image]:
        """What is left of pictures after a trip through their tokens. Raises as `tokenize`."""
        return self.detokenize(self.tokenize(pictures))

    def caption(self, pictures: Picture | Sequence[Picture]) -> list[str]:
        """A text for each picture.

        Raises:
          UserError: there is no CoCa, or a picture cannot be read.
        """
        reranker: Reranker = self._part("reranker")
        rows = reranker.caption(self._read(pictures, reranker.model.image_size))
        decode = self._opened.judge_vocabulary.decode
        return [decode([int(token) for token in row if token]) for row in rows]

    def score(
        self, texts: str | Sequence[str], pictures: Picture | Sequence[Picture]
    ) -> Float[np.ndarray, "texts pictures"]:
        """Cosine similarity of each text and each picture, from -1 to 1. Raises as `caption`."""
        reranker: Reranker = self._part("reranker")
        images = self._read(pictures, reranker.model.image_size)
        said = [texts] if isinstance(texts, str) else list(texts)
        tokens = encode_prompts(said, self._opened.judge_vocabulary, reranker.model)
        similarity: np.ndarray = reranker.embed_texts(tokens) @ reranker.embed_images(images).T
        return similarity

    def _read(
        self, pictures: Picture | Sequence[Picture], size: Any
    ) -> UInt8[np.ndarray, "n height width 3"]:
        one = isinstance(pictures, Image.Image | str | os.PathLike)
        one = one or (isinstance(pictures, np.ndarray) and pictures.ndim == 3)
        several = [pictures] if one else list(pictures)  # type: ignore[arg-type]
        return np.stack([self._framed(picture, size) for picture in several])

    def _framed(self, picture: Any, size: Any) -> UInt8[np.ndarray, "height width 3"]:
        """As the networks read it. TensorFlow is there for what has to be resized alone."""
        if isinstance(picture, str | os.PathLike):
            from babeldraw.data.picture_files.images import read_framed

            return read_framed(picture, size, self._opened.view)
        if isinstance(picture, Image.Image):
            picture = np.asarray(picture.convert("RGB"))
        if not (isinstance(picture, np.ndarray) and picture.dtype == np.uint8):
            raise UserError("A picture is a PIL image, an array of uint8 or a file; give one.")
        if picture.shape == (*height_and_width(size), 3):
            return picture
        if picture.ndim != 3 or picture.shape[-1] != 3:
            raise UserError(
                f"A picture of the shape {list(picture.shape)} is none; give [height, width, 3]."
            )
        from babeldraw.data.picture_files.framing import frame

        return frame(picture, size, self._opened.view)


_FINISHING = ("reranker", "upscaler")


def load(name: str | os.PathLike[str], *, int8: bool = False) -> Model:
    """Opens a trained model.

    Args:
      name: "emoji", the model that comes with the package; a run directory, or a folder with one
        run that draws; a folder of `babeldraw export`; either of them in a bucket (`gs://`); or a
        repository of Hugging Face, OWNER/NAME, with such a folder's files.
      int8: draw with weights rounded to one byte, see `models.int8`.

    Raises:
      UserError: it is none of these, damaged, or of a newer version; in one sentence.
    """
    found = find_model(os.fspath(name))
    run_folders.require_run(found)
    inside = [] if run_folders.is_exported(found) else run_folders.runs_in(found)
    return Model(open_model(found, wanted="sampler" if len(inside) > 1 else "", int8=int8))


__all__ = ["Drawn", "Model", "load"]
