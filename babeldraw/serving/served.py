"""Everything that the requests of a server need."""

import dataclasses
from collections.abc import Mapping

from babeldraw.serving.engine import Engine
from babeldraw.serving.judges import Classify, Judge
from babeldraw.serving.metrics import Metrics
from babeldraw.serving.models import Drawer
from babeldraw.serving.moderation import Moderation
from babeldraw.serving.refusals import Refusal


@dataclasses.dataclass(frozen=True)
class Served:
    """A server's state; of a request, `request.app.state.served`.

    Attributes:
      drawers: by name; the first is the one of requests that name none.
      judge: a CoCa, for captions, scores and reranking.
      judges: those that exported models bring, by the model's name, where none is given for all;
        `judge` is the first of them.
      classify: the probe of a run's blocks.
    """

    drawers: Mapping[str, Drawer]
    engine: Engine
    moderation: Moderation
    metrics: Metrics
    seconds: float
    judge: Judge | None = None
    classify: Classify | None = None
    judges: Mapping[str, Judge] = dataclasses.field(default_factory=dict)

    def judge_of(self, drawer: Drawer) -> Judge | None:
        """What ranks a model's pictures, if anything does."""
        return self.judges.get(drawer.name) if self.judges else self.judge

    def drawer(self, name: str | None) -> Drawer:
        """The model of a request.

        Raises:
          Refusal: there is none of this name.
        """
        if name is None:
            return next(iter(self.drawers.values()))
        if name not in self.drawers:
            known = ", ".join(self.drawers)
            raise Refusal(
                404,
                f"there is no such model; this server has {known}.",
                code="model_not_found",
                param="model",
            )
        return self.drawers[name]
