"""A finished (or running) run directory, opened again: its recipe, networks and data."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from babeldraw import files
from babeldraw.cli.support import gin_config
from babeldraw.errors import UserError

if TYPE_CHECKING:
    from seqio import SentencePieceVocabulary

    from babeldraw.data.pipeline import Dataset
    from babeldraw.objectives.base import Networks, Objective
    from babeldraw.sampling.codec import Codec
    from babeldraw.sampling.pictures import Sampler
    from babeldraw.sampling.rerank import Reranker
    from babeldraw.sampling.upscale import Upscaler


@dataclasses.dataclass(frozen=True)
class Run:
    """What `config.gin` and the latest checkpoint of a run directory say.

    Its methods give what its objective trains or holds frozen, ready for use, or one sentence that
    it does not.
    """

    model_dir: str
    objective: "Objective"
    train_dataset: "Dataset"
    eval_dataset: "Dataset | None"

    @functools.cached_property
    def networks(self) -> "Networks":
        """Parameters of each network, trained or frozen, as host arrays; read at first use.

        Raises:
          UserError: there is no checkpoint, or it is damaged.
        """
        from babeldraw.training.keeping import checkpoints

        return checkpoints.load_networks(self.model_dir)

    @functools.cached_property
    def vocabulary(self) -> "SentencePieceVocabulary":
        """What its texts are read with: kept in the run; in those of before, where its data are."""
        from babeldraw.data.vocabulary import load_vocabulary
        from babeldraw.training.keeping.vocabulary import NAME

        kept = files.path(self.model_dir) / NAME
        if not kept.exists():
            return self.train_dataset.vocabulary
        return load_vocabulary(files.local_copy(kept))

    @property
    def step(self) -> int:
        """Of the latest checkpoint."""
        from babeldraw.training.keeping import checkpoints

        return checkpoints.latest_step(self.model_dir)

    def sampler(self, **settings: Any) -> "Sampler":
        """See `Objective.sampler`."""
        with self._asked():
            return self.objective.sampler(self.networks, **settings)

    def codec(self, batch_size: int = 16) -> "Codec":
        """See `Objective.codec`."""
        with self._asked():
            return self.objective.codec(self.networks, batch_size)

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


def open_run(model_dir: str) -> Run:
    """Opens a run directory; replaces gin's global configuration by the run's.

    Raises:
      UserError: it is no run directory.
    """
    config = files.path(model_dir) / "config.gin"
    if not config.exists():
        raise UserError(
            f"{model_dir} is not a run directory (it has no config.gin); give the --model_dir of a "
            "`babeldraw train` run."
        )
    gin_config.parse_gin([str(files.local_copy(config))], [])
    return Run(
        model_dir,
        _configured("objective")(),
        _configured("train_dataset")(),
        _configured("eval_dataset")(),
    )


def _configured(name: str) -> Callable[[], Any]:
    """What makes an argument of `loop.train`; None where the run does not set it."""
    import gin

    try:
        make: Callable[[], Any] = gin.query_parameter(f"loop.train.{name}").scoped_configurable_fn
    except ValueError:
        return lambda: None
    return make
