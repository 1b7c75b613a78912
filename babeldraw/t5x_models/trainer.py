"""T5X's trainer, with the randomness of our own steps, and with means in the place of sums."""

from typing import Any

import jax
from t5x import trainer

from babeldraw.t5x_models.description import describe
from babeldraw.t5x_models.text_to_image import TextToImageModel
from babeldraw.training.state import step_key

PLAYER = 0
"""The number of the one player, which `training.step` folds into a step's key."""


class Trainer(trainer.Trainer):
    """`t5x.trainer.Trainer` that drops, leaves out and adds noise as `babeldraw train` does.

    T5X adds up the gradients of the parts of a batch, where our loss is a mean.
    """

    def __init__(
        self,
        *,
        model: TextToImageModel,
        num_microbatches: int | None = None,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        """As T5X's, with the learning rate of the objective's optimizer for the log.

        Args:
          seed: that of `loop.train`.
        """
        self._seed = seed
        if settings["train_state"] is not None and settings["summary_dir"]:  # Not of eval.py.
            datasets = model.train_dataset, model.eval_dataset
            described = model.objective, model.constants, *datasets
            describe(settings["summary_dir"], *described, seed)
        rate = model.objective.optimizer.learning_rate
        model.parts = num_microbatches or 1
        super().__init__(
            model=model,
            learning_rate_fn=rate if callable(rate) else lambda step: rate,
            num_microbatches=num_microbatches,
            **settings,
        )

    def _get_step_rng(self, step: Any) -> jax.Array:
        return jax.random.fold_in(step_key(self._seed, step), PLAYER)
