"""What the training loop knows of a training stage: its players, and nothing of its model.

An objective has one or more players: a parameter subtree, the loss it minimises, and its
optimizer. A Transformer has one player, a GAN two. Frozen networks are constants: they get no
gradient and no optimizer state.
"""

import abc
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self

import jax
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Key, UInt8

from babeldraw.errors import UserError
from babeldraw.models.flops import Flops
from babeldraw.objectives.alarms import Alarm, History, Plan
from babeldraw.parallel.execution import Execution
from babeldraw.parallel.rules import Rules, is_box, layer_axes, replicated
from babeldraw.sampling.codec import Codec
from babeldraw.sampling.features import BlockFeatures
from babeldraw.sampling.pictures import Sampler
from babeldraw.sampling.rerank import Reranker
from babeldraw.sampling.upscale import Upscaler

Params = Any
"""A pytree of arrays (of `nn.LogicallyPartitioned` boxes where stated)."""
Constants = Any
Networks = Mapping[str, Params]
"""Parameters by network, trained and frozen, as `checkpoints.load_networks` gives them."""
Batch = Mapping[str, jax.Array]
Metrics = dict[str, jax.Array]
Sheets = dict[str, UInt8[Array, "rows columns height width 3"]]
"""Pictures to look at by the name of the file: a row of each an example."""

Loss = Callable[
    [Params, Mapping[str, Params], Constants, Batch, Key[Array, ""], Int[Array, ""]],
    tuple[Float[Array, ""], Metrics],
]
"""`loss(own_params, all_params, constants, batch, key, step) -> (scalar, metrics)`.

`own_params` are differentiated; `all_params` maps every player's name to its current parameters;
`step` (int32[]) counts the steps taken before this one, for terms that change over a run.
"""

Reads = Literal["examples", "batch", "nothing"]
"""What a loss and its metrics are of, beside parameters: means over the batch's examples, each with
a key of its own if any (`parallel.parts.places`); anything else of the batch, such as a comparison
of its examples; or nothing of it."""

Forward = Callable[[Params, Constants, Batch], dict[str, jax.Array]]
"""`forward(own_params, constants, batch) -> made`, arrays by name. Differentiable."""


@dataclasses.dataclass(frozen=True)
class Player:
    """One parameter subtree with what it minimises and how it is updated."""

    name: str
    loss: Loss
    optimizer: optax.GradientTransformation
    learning_rate: Callable[[Int[Array, ""]], Float[Array, ""]] | float
    """The schedule inside `optimizer`, for the log line."""
    silent: bool = False
    """Whether its metrics are left out: those of an average say nothing."""
    forward: Forward | None = None
    """What it makes, where the players before it look at that too. It is computed once a step, and
    joins the batch of their losses and of its own, which make it themselves where it is missing. In
    steps of several parts it is missing."""
    reads: Reads = "batch"
    """Of `batch` a step of several parts (`Execution.accumulate`) would not be the same step."""
    report: Callable[[Metrics], Metrics] = dict
    """What is reported of the loss's metrics, from their means over the examples."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Objective(abc.ABC):
    """A training stage. Subclasses are frozen dataclasses that gin files bind."""

    execution: Execution = Execution()

    def with_execution(self, execution: Execution) -> Self:
        """The same objective, run as the machine file says."""
        return dataclasses.replace(self, execution=execution)

    @abc.abstractmethod
    def batch_shapes(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Global shape and dtype of each entry of the batches that it trains on."""

    def check_dataset(self, dataset: Any, constants: Constants) -> None:
        """Looks at a dataset before the first step; `constants` are the run's, as host arrays.

        Raises:
          UserError: it does not go with this objective's networks.
        """
        return

    def check_batch(self, batch: Mapping[str, np.ndarray]) -> None:
        """Looks at the values of each training batch before it goes to the devices.

        Raises:
          UserError: there are values that the model cannot take.
        """
        return

    @abc.abstractmethod
    def init(self, key: Key[Array, ""]) -> dict[str, Params]:
        """Fresh parameters of each player, boxed with their logical axis names."""

    @functools.cached_property
    def abstract_params(self) -> dict[str, Params]:
        """Shape, dtype and logical axis names of what `init` gives, at no cost."""
        params: dict[str, Params] = jax.eval_shape(lambda: self.init(jax.random.key(0)))
        return params

    def layer_axes(self, player: str) -> Params:
        """How many leading axes of each parameter count layers: what optimizers treat apart."""
        boxes = self.abstract_params[player]
        return jax.tree.map(layer_axes, boxes, is_leaf=is_box)

    @abc.abstractmethod
    def players(self) -> tuple[Player, ...]:
        """The players, in the order in which they move within one step."""

    def constants(self) -> Constants:
        """Parameters of the frozen networks, as host arrays."""
        return {}

    def abstract_constants(self) -> Constants:
        """Shapes and dtypes of `constants()`; no other run is read for them."""
        return {}

    def held(self, constants: Constants) -> Constants:
        """Of the constants, what training steps and `evaluate` read.

        It is on the devices as long as a run goes on. All of them are there while `pictures` draws.
        """
        return constants

    def constant_shardings(self, constants: Constants, mesh: Mesh, rules: Rules) -> Any:
        """Where each array of the constants, or of some of them, lies: whole on every device.

        Frozen networks are small, as a rule; a stage that freezes a large one says otherwise.
        """
        return jax.tree.map(lambda _: replicated(mesh), constants)

    def after_step(
        self,
        params: Mapping[str, Params],
        constants: Constants,
        batch: Batch,
        key: Key[Array, ""],
        step: Int[Array, ""],
    ) -> dict[str, Params]:
        """The parameters that the next step starts from, once all players have moved. Traceable.

        For what is no gradient step, such as reviving unused codes.
        """
        return dict(params)

    @abc.abstractmethod
    def evaluate(
        self, params: Mapping[str, Params], constants: Constants, batch: Batch, key: Key[Array, ""]
    ) -> Metrics:
        """Means over one held-out batch, of any shape, without dropout. Traceable."""

    def summarize(self, means: Mapping[str, np.ndarray]) -> dict[str, float]:
        """What is reported of `evaluate`, from its means over all held-out batches."""
        return {name: float(value) for name, value in means.items()}

    def alarms(self, history: History, plan: Plan) -> list[Alarm]:
        """What is wrong with the run after an evaluation, by all that was recorded until then."""
        return []

    def alarms_of_data(self, plan: Plan, captions: Sequence[str]) -> list[Alarm]:
        """What is wrong before the first step; `captions` are some of the training pictures'."""
        return []

    def pictures(
        self, params: Mapping[str, Params], constants: Constants, batch: Batch, key: Key[Array, ""]
    ) -> Sheets:
        """What to look at of the batch, which has few rows. Traceable."""
        return {}

    def sheet_columns(self) -> Mapping[str, Sequence[str]]:
        """Sheet of `pictures` -> what its columns show, for who reads it."""
        return {}

    # What planning, sampling and the commands ask of a training stage. A new stage answers here,
    # and nothing of theirs is edited.

    def flops(self) -> Flops | None:
        """Operations of one example; None where there is no closed form."""
        return None

    def sampler(self, networks: Networks, **settings: Any) -> Sampler:
        """What draws pictures of texts, classes or nothing; `settings` are `Sampler`'s.

        Raises:
          NotOffered: as all of these, where the stage trains no such thing.
        """
        raise NotOffered("draws no pictures", "a text-to-image or image_tokens run")

    def codec(self, networks: Networks, batch_size: int = 16) -> Codec:
        """What turns pictures into tokens and back."""
        raise NotOffered("trains no tokenizer", "a tokenizer run")

    def features(self, networks: Networks, batch_size: int = 16) -> dict[str, BlockFeatures]:
        """What reads the blocks of each network that sees pictures; the trained one is first."""
        raise NotOffered("has no blocks that read a picture", "an image_tokens or a tokenizer run")

    def reranker(self, networks: Networks, batch_size: int = 16) -> Reranker:
        """What compares pictures with texts, and captions them."""
        raise NotOffered("compares no pictures with texts", "a CoCa run (gin/runs/coca.gin)")

    def embeddings(self, networks: Networks, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """Of each picture of a batch and of each text, of length 1: `[batch, width]`. Traceable."""
        wanted = "a CoCa run, or a text encoder's with pictures (gin/runs/text_encoder_pairs.gin)"
        raise NotOffered("compares no pictures with texts", wanted)

    def upscaler(self, networks: Networks) -> Upscaler:
        """What enlarges pictures."""
        raise NotOffered("enlarges no pictures", "a super-resolution run")


class NotOffered(Exception):
    """A training stage does not make what was asked of it.

    Attributes:
      what: it does not do, as in "draws no pictures".
      wanted: the kind of run that does.
    """

    def __init__(self, what: str, wanted: str) -> None:
        super().__init__(f"this {what}; {wanted} does")
        self.what, self.wanted = what, wanted


def check_text_tokens(batch: Mapping[str, np.ndarray], text_vocab_size: int) -> None:
    """For `Objective.check_batch`: whether the model knows the batch's text tokens.

    Raises:
      UserError: it does not know all of them.
    """
    check_tokens(batch["text_tokens"], text_vocab_size)


def check_tokens(text_tokens: Int[np.ndarray, "batch text"], text_vocab_size: int) -> None:
    """The same of the tokens themselves."""
    largest = int(np.max(text_tokens, initial=0))
    if largest >= text_vocab_size:  # The embedding would take its last row instead.
        raise UserError(
            f"The captions have text token {largest}, and the model knows {text_vocab_size}: set "
            "TEXT_VOCAB_SIZE to the vocabulary's size."
        )
