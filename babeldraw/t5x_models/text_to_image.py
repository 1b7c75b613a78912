"""Stage 2 as a model of T5X's."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import clu.metrics
import jax
import jax.numpy as jnp
from flax.core import unfreeze
from jaxtyping import Array, Float, Int, Key
from t5x import metrics, models

from babeldraw.data.streams.pipeline import Dataset
from babeldraw.data.t5x_features import converter_of
from babeldraw.errors import UserError
from babeldraw.models.encoder_decoder import example_keys
from babeldraw.objectives import losses
from babeldraw.objectives.base import Batch, Constants, Params
from babeldraw.objectives.text_to_image import TextToImage
from babeldraw.parallel.rules import unbox
from babeldraw.sampling.codec import decode_pictures
from babeldraw.sampling.generate import generate_tokens
from babeldraw.t5x_models.axes import params_axes
from babeldraw.t5x_models.optimizer import PlayerOptimizer
from babeldraw.training.frozen import check_constants

SEED = 0
"""Of pictures where T5X brings no key."""


class TextToImageModel(models.BaseModel):
    """Loss, pictures and scores of an objective, whose frozen tokenizer is a constant.

    Args:
      objective: what `babeldraw train` minimises, with its optimizer.
      train_dataset, eval_dataset: what it is trained on, and evaluated on.
      ours_alone: settings that only our own loop follows, which have to be empty.
      guidance_weight, temperature, cutoff, top_k, top_p: see `sampling.generate.generate_tokens`.

    Attributes:
      constants: the frozen tokenizer, as host arrays, which programs hold as constants.
      parts: how many of a batch T5X adds up the gradients of; `trainer.Trainer` sets it.

    Raises:
      UserError: as above; or the dataset is not of this tokenizer, or the optimizer not for T5X.
    """

    def __init__(
        self,
        objective: TextToImage,
        train_dataset: Dataset,
        eval_dataset: Dataset,
        ours_alone: Sequence[str] = (),
        guidance_weight: float = 1.0,
        temperature: float = 1.0,
        cutoff: float = 0.0,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> None:
        if any(ours_alone):
            raise UserError(
                f"T5X's programs do not follow INIT_FROM and EVALUATE_SUITE, and one is "
                f"{next(filter(None, ours_alone))!r}: leave it out (docs/t5x.md)."
            )
        self.objective = objective
        self.train_dataset, self.eval_dataset = train_dataset, eval_dataset
        self.parts = 1
        self.FEATURE_CONVERTER_CLS: Callable[..., Any] = converter_of(objective.tokens_beforehand)
        self._drawing: dict[str, Any] = {
            "guidance_weight": guidance_weight,
            "temperature": temperature,
            "cutoff": cutoff,
            "top_k": top_k,
            "top_p": top_p,
        }
        super().__init__(optimizer_def=PlayerOptimizer(objective))
        self.constants: Constants = objective.constants()
        check_constants(objective, self.constants)
        for dataset in (train_dataset, eval_dataset):
            objective.check_dataset(dataset, self.constants)

    def get_initial_variables(
        self,
        rng: jax.Array,
        input_shapes: Mapping[str, Any],
        input_types: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Fresh `params`, and the names of their axes as `params_axes`."""
        boxes = self.objective.init(as_key(rng))[self.objective.player]
        return {"params": unbox(boxes), "params_axes": params_axes(boxes)}

    def loss_fn(
        self, params: Params, batch: Batch, dropout_rng: jax.Array | None
    ) -> tuple[Float[Array, ""], dict[str, clu.metrics.Metric]]:
        """The loss of a training step, all of whose randomness is of `dropout_rng`."""
        if dropout_rng is None:
            return self.eval_fn(params, batch)
        own, first = unfreeze(params), jnp.zeros((), jnp.int32)
        everyone = {self.objective.player: own}
        loss, found = self.objective.train_loss(
            own, everyone, self.constants, batch, as_key(dropout_rng), first
        )
        reported = {name: _mean(value) for name, value in found.items()}
        count = len(next(iter(batch.values())))
        tokens = count * self.objective.model.num_tokens
        return loss / self.parts, reported | {
            "timing/seqs_per_second": metrics.TimeRate.from_model_output(numerator=count),
            "timing/steps_per_second": metrics.StepsPerTime.from_model_output(),
            "timing/target_tokens_per_second": metrics.TimeRate.from_model_output(numerator=tokens),
        }

    def eval_fn(
        self, params: Params, batch: Batch
    ) -> tuple[Float[Array, ""], dict[str, clu.metrics.Metric]]:
        """`loss`, `loss_without_prompt` and `prompt_gap`, without dropout: means over examples."""
        own = {self.objective.player: unfreeze(params)}
        found = self.objective.evaluate(own, self.constants, batch, jax.random.key(SEED))
        found = {**found, "prompt_gap": found["loss_without_prompt"] - found["loss"]}
        return found["loss"], {name: _mean(value) for name, value in found.items()}

    def predict_batch_with_aux(
        self, params: Params, batch: Batch, rng: jax.Array | None = None
    ) -> tuple[Int[Array, "batch n"], dict[str, jax.Array]]:
        """Tokens drawn for each text, with `pictures uint8[batch, height, width, 3]` of them and
        `scores`, the mean log-probability in nats a token.

        A picture's noise is of `rng` and of its place in the batch.
        """
        key = jax.random.key(SEED) if rng is None else as_key(rng)
        prompts = batch["text_tokens"]
        tokens, scores = generate_tokens(
            self.objective.model,
            unfreeze(params),
            prompts,
            example_keys(key, len(prompts)),
            **self._drawing,
        )
        pictures = decode_pictures(self.objective.tokenizer, self.constants["tokenizer"], tokens)
        return tokens, {"pictures": pictures, "scores": scores}

    def score_batch(
        self, params: Params, batch: Batch, return_intermediates: bool = False
    ) -> Float[Array, "batch"]:
        """The log-probability of each picture's tokens given its text, in nats a picture."""
        del return_intermediates  # There are none.
        tokens = self.objective.image_tokens(self.constants, batch)
        logits: jax.Array = self.objective.network.apply(
            {"params": unfreeze(params)}, batch["text_tokens"], tokens
        )
        return jnp.sum(losses.token_log_probabilities(logits, tokens), axis=1)


def as_key(rng: jax.Array) -> Key[Array, ""]:
    """A typed key, of which T5X hands on the bare numbers."""
    if jnp.issubdtype(rng.dtype, jax.dtypes.prng_key):
        return rng
    key: Key[Array, ""] = jax.random.wrap_key_data(rng)
    return key


def _mean(value: Float[Array, ""]) -> clu.metrics.Metric:
    """Over batches, or parts of one, which are all of one size."""
    return clu.metrics.Average.from_model_output(value[None])
