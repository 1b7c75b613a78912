"""A finished (or running) run directory, opened again: its settings, networks and data."""

import contextlib
import dataclasses
import functools
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from babeldraw import files
from babeldraw.cli.support import loras
from babeldraw.errors import UserError
from babeldraw.parallel.processes import is_first
from babeldraw.training.keeping import run_folders

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from babeldraw.cli.support.loras import Loras
    from babeldraw.data.picture_files.view import View
    from babeldraw.data.streams.pipeline import Dataset
    from babeldraw.models.image_decoder import ImageDecoder
    from babeldraw.objectives.base import Networks, Objective
    from babeldraw.pieces import Vocabulary
    from babeldraw.sampling.codec import Codec
    from babeldraw.sampling.features import BlockFeatures
    from babeldraw.sampling.pictures import Sampler
    from babeldraw.sampling.rerank import Reranker
    from babeldraw.sampling.upscale import Upscaler


@dataclasses.dataclass(frozen=True)
class Run:
    """What the settings and the latest checkpoint of a run directory say.

    Its methods give what its objective trains or holds frozen, ready for use, or one sentence that
    it does not.

    Attributes:
      mesh: where the networks lie and run; None: on one device.
      loras: files of low-rank changes that are added to its model, each with its weight.
      int8: whether it draws with weights of one byte, see `models.int8`.
    """

    model_dir: str
    objective: "Objective"
    settings: Mapping[str, Any]
    mesh: "Mesh | None" = None
    loras: "Loras" = ()
    int8: bool = False

    @functools.cached_property
    def train_dataset(self) -> "Dataset":
        """What it was trained on; read at first use, for it brings TensorFlow.

        Raises:
          UserError: it is not a task's.
        """
        dataset: Dataset | None = _part(self.model_dir, self.settings, "train_dataset")
        if dataset is None:
            raise UserError(f"{self.model_dir} has no training dataset in its settings.")
        return dataset

    @functools.cached_property
    def eval_dataset(self) -> "Dataset | None":
        """What it was evaluated on, if anything."""
        dataset: Dataset | None = _part(self.model_dir, self.settings, "eval_dataset")
        return dataset

    @property
    def view(self) -> "View":
        """How the pictures came that it was trained on."""
        return self.train_dataset.view

    @functools.cached_property
    def networks(self) -> "Networks":
        """Parameters of each network, trained or frozen, on the mesh; read at first use.

        Raises:
          UserError: there is no checkpoint, it is damaged, or the mesh does not divide it; or the
            changes to be added are not this model's.
        """
        from babeldraw.parallel.mesh import one_device
        from babeldraw.training.keeping.placing import place_networks

        networks = place_networks(self.model_dir, self.objective, self.mesh or one_device())
        if not self.loras:
            return networks
        return loras.with_changes(networks, self.loras, self.objective, self.model_dir)

    @functools.cached_property
    def vocabulary(self) -> "Vocabulary":
        """What its texts are read with: kept in the run; in those of before, where its data are."""
        from babeldraw.pieces import Pieces
        from babeldraw.training.keeping.manifest import check_vocabulary
        from babeldraw.training.keeping.vocabulary import NAME

        kept = files.path(self.model_dir) / NAME
        if not kept.exists():
            of_data: Vocabulary = self.train_dataset.vocabulary
            return of_data
        check_vocabulary(kept.parent)
        return Pieces(files.local_copy(kept))

    @property
    def judge_vocabulary(self) -> "Vocabulary":
        """Of a CoCa, its own."""
        return self.vocabulary

    @property
    def image_model(self) -> "ImageDecoder | None":
        """What predicts image tokens, if anything does."""
        from babeldraw.models.image_decoder import ImageDecoder

        model = getattr(self.objective, "model", None)
        return model if isinstance(model, ImageDecoder) else None

    def offers(self, wanted: str) -> bool:
        """Whether the objective trains (or holds) what a method of `Objective` gives."""
        from babeldraw.objectives.base import Objective

        return getattr(type(self.objective), wanted) is not getattr(Objective, wanted)

    @property
    def defaults(self) -> dict[str, float]:
        """Settings of drawing that go with the model: a run has none."""
        return {}

    def brings(self, wanted: str) -> bool:
        """Whether a reranker or an upscaler goes with what it draws: to a run they are given."""
        return False

    @property
    def step(self) -> int:
        """Of the latest checkpoint."""
        from babeldraw.training.keeping import checkpoints

        return checkpoints.latest_step(self.model_dir)

    def sampler(self, **settings: Any) -> "Sampler":
        """See `Objective.sampler`."""
        with self._asked():
            sampler = self.objective.sampler(self.networks, **settings)
        return sampler.as_int8() if self.int8 else sampler

    def codec(self, batch_size: int = 16) -> "Codec":
        """See `Objective.codec`."""
        with self._asked():
            return self.objective.codec(self.networks, batch_size)

    def features(self, batch_size: int = 16) -> "dict[str, BlockFeatures]":
        """See `Objective.features`."""
        with self._asked():
            return self.objective.features(self.networks, batch_size)

    def reranker(self, batch_size: int = 16) -> "Reranker":
        """See `Objective.reranker`."""
        with self._asked():
            return self.objective.reranker(self.networks, batch_size)

    def upscaler(self) -> "Upscaler":
        """See `Objective.upscaler`."""
        with self._asked():
            return self.objective.upscaler(self.networks)

    @contextlib.contextmanager
    def _asked(self) -> Iterator[None]:
        from babeldraw.objectives.base import NotOffered

        try:
            yield
        except NotOffered as error:
            raise UserError(
                f"{self.model_dir} was trained with the objective {type(self.objective).__name__}, "
                f"which {error.what}; give the directory of {error.wanted}."
            ) from error


def open_run(
    model_dir: str, mesh: "Mesh | None" = None, wanted: str = "", added: "Loras" = ()
) -> Run:
    """Opens a run directory by its settings; runs nothing of what stands in it.

    Args:
      model_dir: the run directory, or a folder with runs of which one fits.
      mesh: see `Run`.
      wanted: the method of `Objective` that the run is to offer, such as "sampler".
      added: see `Run.loras`.

    Raises:
      UserError: it is no run directory, its settings are not what Babeldraw writes, or of several
        runs none or more than one fits.
    """
    from babeldraw.training.keeping.settings import read_settings

    run_folders.refuse_exported(model_dir)
    model_dir = _choose(model_dir, wanted)
    settings = read_settings(files.path(model_dir))
    objective = _part(model_dir, settings, "objective")
    if objective is None:
        raise UserError(f"{model_dir} has no objective in its settings; give another run.")
    return Run(model_dir, objective, settings, mesh, added)


def _choose(model_dir: str, wanted: str) -> str:
    """`model_dir`, or the one run inside that offers what is wanted, which is then said."""
    found = run_folders.runs_in(model_dir)
    fit = found if len(found) == 1 else [run for run in found if _offers(run, wanted)]
    if len(found) > 1 and len(fit) != 1:
        many = f"{len(fit)} runs that fit" if fit else "no run that fits"
        raise UserError(
            f"{model_dir} holds {many}; name one of those inside: {run_folders.named(fit or found)}"
        )
    chosen = fit[0] if fit else model_dir
    if chosen != model_dir and is_first():
        print(f"the run is {chosen}", file=sys.stderr)
    return chosen


def _offers(run: str, wanted: str) -> bool:
    from babeldraw.cli.support.known_classes import known_classes
    from babeldraw.objectives.base import Objective

    cls = known_classes().get(run_folders.objective_of(run))
    return cls is not None and getattr(cls, wanted, None) is not getattr(Objective, wanted, None)


def _part(model_dir: str, settings: Mapping[str, Any], name: str) -> Any:
    """One of the settings' values, as the object that it was; None where there is none.

    Raises:
      UserError: it is none that Babeldraw has, or of the wrong kind.
    """
    from babeldraw.cli.support.known_classes import known_classes
    from babeldraw.objectives.base import Objective
    from babeldraw.training.keeping.settings import NAME, class_name, from_data

    known: Mapping[str, type] = known_classes()
    wanted: type | tuple[type, ...] = Objective
    if name != "objective":
        from babeldraw.data.streams.pipeline import Dataset
        from babeldraw.data.streams.texts import PairsAndTexts, TextDataset

        kinds = (Dataset, TextDataset, PairsAndTexts)
        known, wanted = {class_name(each): each for each in kinds}, kinds
    place = f"{name} in {files.path(model_dir) / NAME}"
    try:
        value = from_data(settings.get(name), known, place)
    except RecursionError:
        raise UserError(f"{place} is nested without end; give another run.") from None
    if value is not None and not isinstance(value, wanted):
        kind = "Objective" if name == "objective" else "Dataset"
        raise UserError(f"{place} is no {kind}; bring the file back from a copy.")
    return value
