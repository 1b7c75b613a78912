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
      judges: by the name of a drawer the CoCa that ranks its pictures, if there is one.
      classify: the probe of a run's blocks.
    """

    drawers: Mapping[str, Drawer]
    engine: Engine
    moderation: Moderation
    metrics: Metrics
    seconds: float
    judges: Mapping[str, Judge] = dataclasses.field(default_factory=dict)
    classify: Classify | None = None

    @property
    def judge(self) -> Judge | None:
        """Of captions and scores, which name no model: the first."""
        return next(iter(self.judges.values()), None)

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
