"""An exported model, opened: what commands ask of a run, without its data and its recipe."""

import dataclasses
import functools
from typing import TYPE_CHECKING, Any, NoReturn

from babeldraw import files
from babeldraw.errors import UserError

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from babeldraw.cli.support.loras import Loras
    from babeldraw.cli.support.runs import Run
    from babeldraw.data.picture_files.view import View
    from babeldraw.exporting.folder import Folder
    from babeldraw.models.image_decoder import ImageDecoder
    from babeldraw.pieces import Pieces
    from babeldraw.sampling.codec import Codec
    from babeldraw.sampling.pictures import Sampler
    from babeldraw.sampling.rerank import Reranker
    from babeldraw.sampling.upscale import Upscaler

PARTS = {
    "sampler": ("transformer", "tokenizer"),
    "codec": ("tokenizer",),
    "reranker": ("coca",),
    "upscaler": ("super_resolution",),
}
"""Networks that each needs."""

DOES = {
    "sampler": "draws",
    "codec": "turns pictures into tokens",
    "reranker": "compares pictures with texts",
    "upscaler": "enlarges pictures",
    "features": "is probed",
}


@dataclasses.dataclass(frozen=True)
class Exported:
    """What a folder of `babeldraw export` holds, as `runs.Run` gives it of a run.

    Attributes:
      mesh: where the networks lie, whole on each of its devices; None: on one.
      loras: files of low-rank changes that are added to its Transformer, each with its weight.
      int8: whether it draws with weights of one byte, see `models.int8`.
    """

    model_dir: str
    folder: "Folder"
    mesh: "Mesh | None" = None
    loras: "Loras" = ()
    int8: bool = False

    @property
    def step(self) -> int:
        """Of the run that it was exported from."""
        return int(self.folder.config["source"].get("step", 0))

    @property
    def defaults(self) -> dict[str, float]:
        """Settings of drawing that go with the model."""
        return dict(self.folder.config["drawing"])

    def brings(self, wanted: str) -> bool:
        """Whether it has what "sampler", "codec", "reranker" or "upscaler" needs."""
        return wanted in PARTS and set(PARTS[wanted]) <= set(self.folder.networks)

    @property
    def image_model(self) -> "ImageDecoder | None":
        """What predicts image tokens, if anything does."""
        return self.folder.module("transformer") if self.brings("sampler") else None

    @functools.cached_property
    def view(self) -> "View":
        """How the pictures came that it was trained on."""
        from babeldraw.data.picture_files.view import View

        try:
            return View(**self.folder.config["view"])
        except TypeError as error:
            raise UserError(
                f"{self.model_dir}/config.json has a view that is none ({error}): bring it back "
                "from a copy."
            ) from error

    @functools.cached_property
    def vocabulary(self) -> "Pieces":
        """Of the Transformer, or of CoCa alone."""
        return self._vocabulary("transformer" if self.brings("sampler") else "coca")

    @functools.cached_property
    def judge_vocabulary(self) -> "Pieces":
        """Of CoCa."""
        return self._vocabulary("coca")

    def _vocabulary(self, network: str) -> "Pieces":
        from babeldraw.pieces import Pieces

        return Pieces(files.local_copy(self.folder.vocabulary_file(network)))

    def sampler(self, **settings: Any) -> "Sampler":
        """See `Objective.sampler`."""
        from babeldraw.sampling.pictures import Sampler

        model, params, tokenizer, tokenizer_params = self._need("sampler")
        if self.loras:
            params = self._changed(params)
        sampler = Sampler(model, params, tokenizer, tokenizer_params, **settings)
        return sampler.as_int8() if self.int8 else sampler

    def _changed(self, params: Any) -> Any:
        from babeldraw.cli.support.loras import changed
        from babeldraw.models.encoder_decoder import EncoderDecoder

        if not isinstance(self.image_model, EncoderDecoder):
            raise UserError(
                f"--lora changes text-to-image models, and {self.model_dir} reads no texts; leave "
                "it out."
            )
        return changed(params, self.loras, self.model_dir)

    def codec(self, batch_size: int = 16) -> "Codec":
        """See `Objective.codec`."""
        from babeldraw.sampling.codec import Codec

        model, params = self._need("codec")
        return Codec(model, params, batch_size)

    def reranker(self, batch_size: int = 16) -> "Reranker":
        """See `Objective.reranker`."""
        from babeldraw.sampling.rerank import Reranker

        model, params = self._need("reranker")
        return Reranker(model, params, batch_size)

    def upscaler(self) -> "Upscaler":
        """See `Objective.upscaler`."""
        from babeldraw.sampling.upscale import Upscaler

        return Upscaler(*self._need("upscaler"))

    def features(self, batch_size: int = 16) -> NoReturn:
        """Raises a `UserError`: blocks are probed in runs."""
        self.refuse("features")

    @property
    def eval_dataset(self) -> NoReturn:
        """Raises a `UserError`: data stay where they are."""
        raise self._without_data()

    @property
    def train_dataset(self) -> NoReturn:
        """Raises a `UserError`: data stay where they are."""
        raise self._without_data()

    def _without_data(self) -> UserError:
        return UserError(f"{self.model_dir} was exported without its data; give the run directory.")

    def refuse(self, wanted: str) -> NoReturn:
        """Raises a `UserError`: the networks of `wanted` are not here."""
        inside = ", ".join(self.folder.networks)
        raise UserError(
            f"{self.model_dir} is an exported model of {inside}, and it takes another one that "
            f"{DOES[wanted]}; give the directory of that."
        )

    def _need(self, wanted: str) -> tuple[Any, ...]:
        if not self.brings(wanted):
            self.refuse(wanted)
        return tuple(
            part
            for name in PARTS[wanted]
            for part in (self.folder.module(name), self._placed(name))
        )

    def _placed(self, name: str) -> Any:
        params = self.folder.params(name)
        if self.mesh is None:
            return params
        import jax

        from babeldraw.parallel.rules import replicated

        return jax.device_put(params, replicated(self.mesh))


def output_of(given: str | None, opened: "Run | Exported", name: str) -> str:
    """Where a command writes: the given folder, or the one called so of a run.

    Raises:
      UserError: none is given, and the model is an exported one, which stays as it is.
    """
    if given is None and isinstance(opened, Exported):
        raise UserError(
            f"{opened.model_dir} is an exported model, which stays as it is; give --output DIR."
        )
    return given or str(files.path(opened.model_dir) / name)


def open_exported(model_dir: str, mesh: "Mesh | None" = None, wanted: str = "") -> Exported:
    """Opens a folder of `babeldraw export`.

    Raises:
      UserError: see `exporting.folder.read`; or it has not what is wanted.
    """
    from babeldraw.exporting.folder import read

    opened = Exported(model_dir, read(files.path(model_dir)), mesh)
    if wanted and not opened.brings(wanted):
        opened.refuse(wanted)
    return opened
