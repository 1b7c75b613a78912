"""Any optimizer of ours as T5X takes one.

T5X's own wrapper for optax knows the states of optax alone, and takes every array of a state to be
as large as its parameter, which Adafactor's are not.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax.core import unfreeze
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.sharding import PartitionSpec
from t5x import optimizers

from babeldraw.errors import UserError
from babeldraw.objectives.base import Params
from babeldraw.objectives.token_prediction import TokenPrediction
from babeldraw.optimizers.skipping import update_or_skip
from babeldraw.parallel.rules import unbox
from babeldraw.t5x_models.axes import state_axes
from babeldraw.training.state import variable_name


class PlayerOptimizer(optimizers.OptimizerDef):
    """The optimizer of an objective's one player.

    Its state is kept as nested dicts of arrays, named as in a Babeldraw checkpoint's
    `optimizer_state/PLAYER`. The learning rate is the optimizer's own schedule: what T5X hands it
    is for T5X's log alone.

    Raises:
      UserError: the objective has several players, or its optimizer looks out for spikes.
    """

    def __init__(self, objective: TokenPrediction) -> None:
        super().__init__(hyper_params=_NoHyperParams())
        players = objective.players()
        if len(players) > 1:
            names = ", ".join(player.name for player in players)
            raise UserError(
                f"T5X trains one set of parameters, and this recipe has {names}: set EMA_DECAY to "
                "0."
            )
        (player,) = players
        if objective.optimizer.spike_factor:
            raise UserError(
                "T5X does not tell the optimizer the loss, by which spikes are known: set "
                "SPIKE_FACTOR to 0."
            )
        self._optimizer = player.optimizer
        self._boxes = objective.abstract_params[player.name]
        self._abstract = jax.eval_shape(player.optimizer.init, unbox(self._boxes))
        self._names = [
            variable_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(self._abstract)
        ]

    def init_state(self, params: Params) -> optimizers.OptimizerState:
        state = self._optimizer.init(unfreeze(params))
        return optimizers.OptimizerState(
            step=jnp.zeros((), jnp.int32), param_states=self._named(state)
        )

    def apply_gradient(
        self, hyper_params: Any, params: Params, state: optimizers.OptimizerState, grads: Params
    ) -> tuple[Params, optimizers.OptimizerState]:
        """Moves nothing where a gradient is not finite, as in our own loop."""
        own, before = unfreeze(params), self._unnamed(state.param_states)
        loss = jnp.zeros((), jnp.float32)  # Not told: the gradients alone are looked at.
        updates, after = update_or_skip(self._optimizer, unfreeze(grads), before, own, loss)
        moved = jax.tree.unflatten(
            jax.tree.structure(params), jax.tree.leaves(optax.apply_updates(own, updates))
        )
        return moved, optimizers.OptimizerState(
            step=state.step + 1, param_states=self._named(after)
        )

    def derive_logical_axes(
        self, optimizer: optimizers.Optimizer, param_logical_axes: Any
    ) -> optimizers.Optimizer:
        """The optimizer with a `PartitionSpec` in the place of each array."""
        axes = unflatten_dict(state_axes(self._boxes, self._abstract), sep="/")
        state = optimizers.OptimizerState(step=PartitionSpec(), param_states=axes)
        return optimizer.replace(state=state, target=param_logical_axes)

    def _named(self, state: Any) -> dict[str, Any]:
        leaves = dict(zip(self._names, jax.tree.leaves(state), strict=True))
        named: dict[str, Any] = unflatten_dict(leaves, sep="/")
        return named

    def _unnamed(self, named: Any) -> Any:
        leaves = flatten_dict(unfreeze(named), sep="/")
        return jax.tree.unflatten(
            jax.tree.structure(self._abstract), [leaves[name] for name in self._names]
        )


class _NoHyperParams:
    """What T5X would change from step to step."""

    def replace(self, **ignored: Any) -> "_NoHyperParams":
        return self
