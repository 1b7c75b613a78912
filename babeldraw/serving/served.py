"""Everything that the requests of a server need."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from babeldraw.serving.engine import Engine
from babeldraw.serving.judges import Classify, Judge
from babeldraw.serving.metrics import Metrics
from babeldraw.serving.models import Drawer
from babeldraw.serving.moderation import Moderation
from babeldraw.serving.refusals import Refusal
from babeldraw.serving.trainings import Trainings


@dataclasses.dataclass(frozen=True)
class Served:
    """A server's state; of a request, `request.app.state.served`.

    Attributes:
      drawers: by name; the first is the one of requests that name none.
      judges: by the name of a drawer the CoCa that ranks its pictures, if there is one.
      classify: the probe of a run's blocks.
      trainings: of personal models, if clients may begin them.
    """

    drawers: Mapping[str, Drawer]
    engine: Engine
    moderation: Moderation
    metrics: Metrics
    seconds: float
    judges: Mapping[str, Judge] = dataclasses.field(default_factory=dict)
    classify: Classify | None = None
    trainings: Trainings | None = None

    @property
    def judge(self) -> Judge | None:
        """Of captions and scores, which name no model: the first."""
        return next(iter(self.judges.values()), None)

    def drawers_of(self, owner: str) -> dict[str, Drawer]:
        """By name, with a client's own behind those of all."""
        own = {} if self.trainings is None else self.trainings.drawers(owner)
        return {**self.drawers, **own}

    def drawer(self, name: str | None, owner: str = "") -> Drawer:
        """The model of a request.

        Args:
          owner: who asks, as `Guard` says; "": nobody in particular.

        Raises:
          Refusal: there is none of this name.
        """
        known = self.drawers_of(owner)
        if name is None:
            return next(iter(known.values()))
        if name not in known:
            raise Refusal(
                404,
                f"there is no such model; this server has {', '.join(known)}.",
                code="model_not_found",
                param="model",
            )
        return known[name]

    def described(self, drawer: Drawer) -> dict[str, Any]:
        """As `/v1/models` tells it."""
        return {
            **drawer.described,
            "reranks": drawer.name in self.judges,
            "learns": self.trainings is not None and drawer.learns,
        }
