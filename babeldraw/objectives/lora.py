"""Finetune a text-to-image model by low-rank changes of its kernels; the model itself is frozen."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Int, Key

from babeldraw.models import lora
from babeldraw.objectives.average import averaged, followers, with_average
from babeldraw.objectives.base import (
    Batch,
    Constants,
    Metrics,
    Networks,
    Params,
    Player,
    Sheets,
)
from babeldraw.objectives.text_to_image import NAME as BASE
from babeldraw.objectives.text_to_image import TextToImage
from babeldraw.parallel.execution import Execution
from babeldraw.parallel.rules import (
    Rules,
    is_box,
    logical_axes,
    placed_by_names,
    unbox,
    with_logical_constraint,
)
from babeldraw.ranges import Count
from babeldraw.sampling.features import BlockFeatures
from babeldraw.sampling.pictures import Sampler

NAME = "lora"
"""The player's name."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LowRank(TextToImage):
    """Text to image, of which low-rank changes of attention and feed-forward are trained.

    A step adds the changes to the frozen kernels and runs the model as ever, so that it works in
    every layout, and takes the time of a step of the whole model. What it saves is state: gradients
    are kept, averaged and clipped, and moments held, of the changes alone.

    Attributes:
      base: gives the model's parameters, such as `checkpoints.TrainedTextToImage` of a run
        directory; called once, at the start of a run.
      rank: of each change.
    """

    base: Callable[[], Params]
    rank: Count = 8

    @functools.cached_property
    def _whole(self) -> TextToImage:
        """The same model, trained whole."""
        fields = [field.name for field in dataclasses.fields(TextToImage)]
        return TextToImage(**{name: getattr(self, name) for name in fields})

    @functools.cached_property
    def _in_sequence(self) -> Params:
        """The boxes of the frozen model, which is kept with its layers in one axis."""
        return self._whole.with_execution(Execution()).abstract_params[BASE]

    def init(self, key: Key[Array, ""]) -> dict[str, Params]:
        changes = lora.init_changes(self._whole.abstract_params[BASE], self.rank, key)
        return with_average({NAME: changes}, NAME, self.ema_decay)

    def constants(self) -> dict[str, Any]:
        return {**super().constants(), BASE: self.base()}

    def abstract_constants(self) -> dict[str, Any]:
        return {**super().abstract_constants(), BASE: unbox(self._in_sequence)}

    def held(self, constants: Mapping[str, Params]) -> dict[str, Any]:
        return {**super().held(constants), BASE: constants[BASE]}

    def constant_shardings(self, constants: Constants, mesh: Mesh, rules: Rules) -> Any:
        """The frozen model lies where it would lie if it were trained."""
        rest = {name: tree for name, tree in constants.items() if name != BASE}
        placed = super().constant_shardings(rest, mesh, rules)
        if BASE in constants:
            placed[BASE] = placed_by_names(self._in_sequence, mesh, rules)
        return placed

    def players(self) -> tuple[Player, ...]:
        return (
            Player(
                NAME,
                self.changes_loss,
                self.optimizer.make(self.layer_axes(NAME)),
                self.optimizer.learning_rate,
                reads="examples",
            ),
            *followers(NAME, self.ema_decay),
        )

    def changes_loss(
        self,
        params: Params,
        all_params: Mapping[str, Params],
        constants: Constants,
        batch: Batch,
        key: Key[Array, ""],
        step: Int[Array, ""],
    ) -> tuple[jax.Array, Metrics]:
        """As `TextToImage.train_loss`, of the model with its changes."""
        merged = self._merged(params, constants)
        return self._whole.train_loss(merged, {BASE: merged}, constants, batch, key, step)

    def evaluate(
        self, params: Mapping[str, Params], constants: Constants, batch: Batch, key: Key[Array, ""]
    ) -> Metrics:
        merged = self._merged(averaged(params, NAME), constants)
        return self._whole.evaluate({BASE: merged}, constants, batch, key)

    def pictures(
        self, params: Mapping[str, Params], constants: Constants, batch: Batch, key: Key[Array, ""]
    ) -> Sheets:
        merged = self._merged(averaged(params, NAME), constants)
        return self._whole.pictures({BASE: merged}, constants, batch, key)

    def _merged(self, changes: Params, constants: Constants) -> Params:
        """The model with its changes, in the shapes that training runs it in."""
        boxes = self._whole.abstract_params[BASE]

        def shaped(box: Any, array: Array) -> Array:
            return jnp.reshape(array, unbox(box).shape)  # Of a pipeline: rounds and stages.

        def placed(box: Any, array: Array) -> Array:
            return with_logical_constraint(array, logical_axes(box))

        base = jax.tree.map(shaped, boxes, constants[BASE], is_leaf=is_box)
        return jax.tree.map(placed, boxes, lora.merge(base, changes), is_leaf=is_box)

    def merged_networks(self, networks: Networks) -> dict[str, Params]:
        """Of a run's networks, with the changes in the model. Layers are in one axis."""
        return {**networks, BASE: lora.merge(networks[BASE], averaged(networks, NAME))}

    def sampler(self, networks: Networks, **settings: Any) -> Sampler:
        return self._whole.sampler(self.merged_networks(networks), **settings)

    def features(self, networks: Networks, batch_size: int = 16) -> dict[str, BlockFeatures]:
        return self._whole.features(self.merged_networks(networks), batch_size)

    @property
    def num_parameters(self) -> int:
        """Of the changes."""
        return sum(array.size for array in jax.tree.leaves(unbox(self.abstract_params[NAME])))
